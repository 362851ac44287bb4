//! The part of Python's pickles that state dicts are made of. Nothing is ever called: of the classes and functions that a
//! pickle names, the few that build tensors and dictionaries are known, and all others are refused.
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py>

use crate::checkpoint::brief;
use std::collections::HashMap;
use std::rc::Rc;

/// Elements of the stack and of everything that was built, at the most.
const MOST: usize = 1 << 20;

/// Tells what to write instead.
const HINT: &str = "expected a state dict, as torch.save(model.state_dict(), \"model.pt\") writes it";

/// A Python object. Containers are places in [`Objects`], so that dropping nested ones needs no recursion.
#[derive(Clone, Debug)]
pub(super) enum Object {
    None,
    Int(i64),
    Text(Rc<str>),
    /// Numbers that no tensor needs: floats, bytes.
    Opaque,
    /// `module.name`
    Global(Rc<str>),
    Tuple(usize),
    List(usize),
    /// Keys and values in turn.
    Dict(usize),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
}

/// Where numbers lie in the archive.
#[derive(Debug, PartialEq)]
pub(super) struct Storage {
    /// `FloatStorage` and so on.
    pub(super) kind: Rc<str>,
    /// The member `data/KEY`.
    pub(super) key: Rc<str>,
    /// How many numbers.
    pub(super) len: usize,
}

/// A view of a storage: element `i, j, …` is at `offset + i strides[0] + j strides[1] + …`.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The contents of all containers.
#[derive(Default)]
pub(super) struct Objects(Vec<Vec<Object>>);

impl Objects {
    /// The elements of a container.
    pub(super) fn of(&self, place: usize) -> &[Object] {
        self.0.get(place).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, elements: Vec<Object>) -> usize {
        self.0.push(elements);
        self.0.len() - 1
    }
}

/// The object in `bytes`, or what is wrong with them.
pub(super) fn read(bytes: &[u8]) -> Result<(Object, Objects), String> {
    let mut machine = Machine { rest: bytes, ..Machine::default() };
    while !machine.step()? {}
    let object = machine.pop()?;
    Ok((object, machine.objects))
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Object>,
    /// The heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Object>,
    objects: Objects,
    /// Elements that were built.
    built: usize,
}

impl<'a> Machine<'a> {
    /// Follows one instruction; `true` at the last one.
    fn step(&mut self) -> Result<bool, String> {
        let [opcode] = self.take()?;
        match opcode {
            // PROTO, FRAME
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'.' => return Ok(true),
            b'N' => self.push(Object::None)?,
            // NEWTRUE, NEWFALSE
            0x88 | 0x89 => self.push(Object::Opaque)?,
            // BININT, BININT1, BININT2, LONG1
            b'J' => {
                let value = i32::from_le_bytes(self.take()?);
                self.push(Object::Int(value.into()))?;
            }
            b'K' => {
                let [value] = self.take()?;
                self.push(Object::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take()?);
                self.push(Object::Int(value.into()))?;
            }
            0x8a => {
                let [length] = self.take()?;
                let bytes = self.slice(length.into())?;
                let value =
                    long(bytes).ok_or_else(|| format!("it holds an integer of {} bytes; {HINT}", bytes.len()))?;
                self.push(Object::Int(value))?;
            }
            b'G' => {
                self.take::<8>()?;
                self.push(Object::Opaque)?;
            }
            // BINUNICODE, SHORT_BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let [length] = self.take()?;
                self.text(length.into())?;
            }
            // BINBYTES, SHORT_BINBYTES
            b'B' => {
                let length = u32::from_le_bytes(self.take()?);
                self.slice(length as usize)?;
                self.push(Object::Opaque)?;
            }
            b'C' => {
                let [length] = self.take()?;
                self.slice(length.into())?;
                self.push(Object::Opaque)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(format!("{module}.{name}").into()))?;
            }
            // STACK_GLOBAL
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) = (module, name) else { return Err(damaged()) };
                self.push(Object::Global(format!("{}.{}", brief(&module), brief(&name)).into()))?;
            }
            b'(' => {
                self.marks.push(self.stack.len());
                self.count(1)?;
            }
            b')' => self.tuple(Vec::new())?,
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or_else(damaged)?;
                let elements = self.above(first)?;
                self.tuple(elements)?;
            }
            b't' => {
                let elements = self.marked()?;
                self.tuple(elements)?;
            }
            b']' => {
                let place = self.objects.add(Vec::new());
                self.push(Object::List(place))?;
            }
            b'}' => {
                let place = self.objects.add(Vec::new());
                self.push(Object::Dict(place))?;
            }
            // APPEND, APPENDS, SETITEM, SETITEMS
            b'a' => {
                let first = self.stack.len().checked_sub(1).ok_or_else(damaged)?;
                let elements = self.above(first)?;
                self.extend(elements)?;
            }
            b's' => {
                let first = self.stack.len().checked_sub(2).ok_or_else(damaged)?;
                let elements = self.above(first)?;
                self.extend(elements)?;
            }
            b'e' | b'u' => {
                let elements = self.marked()?;
                self.extend(elements)?;
            }
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let [place] = self.take()?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.take()?);
                self.remember(place)?;
            }
            0x94 => {
                let place = u32::try_from(self.memo.len()).map_err(|_| damaged())?;
                self.remember(place)?;
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let [place] = self.take()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.take()?);
                self.recall(place)?;
            }
            // BINPERSID, REDUCE, BUILD
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.push(Object::Storage(Rc::new(storage)))?;
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let result = self.call(&callable, &arguments)?;
                self.push(result)?;
            }
            b'b' => {
                // The attributes of an ordered dictionary, which say the versions of modules.
                self.pop()?;
                match self.stack.last() {
                    Some(Object::Dict(_)) => {}
                    _ => return Err(format!("it holds a Python object with attributes; {HINT}")),
                }
            }
            // NEWOBJ
            0x81 => {
                let (_, class) = (self.pop()?, self.pop()?);
                return Err(self.refused(&class));
            }
            other => {
                return Err(format!("it has the pickle instruction {other:#04x}, which no state dict needs; {HINT}"));
            }
        }
        Ok(false)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.slice(N)?.try_into().map_err(|_| damaged())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let length = self.rest.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
        let line = self.slice(length + 1)?;
        std::str::from_utf8(&line[..length]).map(brief).map_err(|_| damaged())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| damaged())?;
        self.push(Object::Text(text.into()))
    }

    /// Counts what was built against what is allowed.
    fn count(&mut self, more: usize) -> Result<(), String> {
        self.built += more;
        match self.built <= MOST {
            true => Ok(()),
            false => Err(format!("it holds more than {MOST} Python objects; {HINT}")),
        }
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        self.stack.push(object);
        self.count(1)
    }

    /// The top of the stack, which no open mark lies above.
    fn pop(&mut self) -> Result<Object, String> {
        let last = self.stack.len().checked_sub(1).ok_or_else(damaged)?;
        self.above(last)?.pop().ok_or_else(damaged)
    }

    fn above(&mut self, first: usize) -> Result<Vec<Object>, String> {
        match self.marks.last() {
            Some(&mark) if mark > first => Err(damaged()),
            _ => Ok(self.stack.split_off(first)),
        }
    }

    fn marked(&mut self) -> Result<Vec<Object>, String> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        self.above(mark)
    }

    fn tuple(&mut self, elements: Vec<Object>) -> Result<(), String> {
        let place = self.objects.add(elements);
        self.push(Object::Tuple(place))
    }

    /// Adds to the list or dictionary on top of the stack.
    fn extend(&mut self, elements: Vec<Object>) -> Result<(), String> {
        let place = match self.stack.last() {
            Some(Object::List(place)) => *place,
            Some(Object::Dict(place)) if elements.len().is_multiple_of(2) => *place,
            _ => return Err(damaged()),
        };
        self.objects.0.get_mut(place).ok_or_else(damaged)?.extend(elements);
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let object = self.stack.last().cloned().ok_or_else(damaged)?;
        self.memo.insert(place, object);
        self.count(1)
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let object = self.memo.get(&place).cloned().ok_or_else(damaged)?;
        self.push(object)
    }

    fn elements(&self, object: &Object) -> Result<&[Object], String> {
        match object {
            Object::Tuple(place) => Ok(self.objects.of(*place)),
            _ => Err(damaged()),
        }
    }

    /// `("storage", torch.FloatStorage, key, device, count)`
    fn storage(&self, id: &Object) -> Result<Storage, String> {
        match self.elements(id)? {
            [Object::Text(what), Object::Global(kind), Object::Text(key), Object::Text(_), Object::Int(len)]
                if &**what == "storage" =>
            {
                let len = usize::try_from(*len).map_err(|_| damaged())?;
                let kind = kind.rsplit('.').next().unwrap_or_default().into();
                Ok(Storage { kind, key: key.clone(), len })
            }
            _ => Err(damaged()),
        }
    }

    fn call(&mut self, callable: &Object, arguments: &Object) -> Result<Object, String> {
        let Object::Global(name) = callable else { return Err(damaged()) };
        let arguments = self.elements(arguments)?;
        match (&**name, arguments) {
            (
                "torch._utils._rebuild_tensor_v2",
                [Object::Storage(storage), Object::Int(offset), shape, strides, ..],
            ) => {
                let numbers = |object: &Object| -> Result<Vec<usize>, String> {
                    let number = |object: &Object| match object {
                        Object::Int(n) => usize::try_from(*n).map_err(|_| damaged()),
                        _ => Err(damaged()),
                    };
                    self.elements(object)?.iter().map(number).collect()
                };
                let (shape, strides) = (numbers(shape)?, numbers(strides)?);
                if shape.len() != strides.len() {
                    return Err(damaged());
                }
                let offset = usize::try_from(*offset).map_err(|_| damaged())?;
                Ok(Object::Tensor(Rc::new(Tensor { storage: storage.clone(), offset, shape, strides })))
            }
            ("torch._utils._rebuild_parameter", [tensor @ Object::Tensor(_), ..]) => Ok(tensor.clone()),
            ("collections.OrderedDict", []) => Ok(Object::Dict(self.objects.add(Vec::new()))),
            _ => Err(self.refused(callable)),
        }
    }

    fn refused(&self, callable: &Object) -> String {
        let name = match callable {
            Object::Global(name) => name,
            _ => "an unnamed class",
        };
        format!("it holds the Python object {name}, and nothing in a file is ever run; {HINT}")
    }
}

fn damaged() -> String {
    "the list of its tensors is damaged or cut short; save it again".into()
}

/// A signed integer, its lowest byte first.
fn long(bytes: &[u8]) -> Option<i64> {
    let mut all = [if bytes.last().is_some_and(|&b| b >= 0x80) { 0xff } else { 0 }; 8];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(all))
}
