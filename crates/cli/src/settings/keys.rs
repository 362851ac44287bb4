//! Which keys a configuration may have.

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor, value};
use toml::de::{DeTable, DeValue};
use wgrad::error::did_you_mean;

/// What is wrong with a text, and at which of its bytes.
type Refusal = (Option<usize>, String);

/// What TOML says is wrong.
pub fn place_and_message(error: toml::de::Error) -> Refusal {
    (error.span().map(|span| span.start), error.message().trim_end().to_owned())
}

/// Checks that every key in a TOML text is among those `known` for its table.
pub fn check(text: &str, known: fn(&str) -> Option<&'static [&'static str]>) -> Result<(), Refusal> {
    check_table("", DeTable::parse(text).map_err(place_and_message)?.get_ref(), known)
}

fn check_table(
    name: &str,
    table: &DeTable<'_>,
    known: fn(&str) -> Option<&'static [&'static str]>,
) -> Result<(), Refusal> {
    // A table where a value belongs is refused by the value's type.
    let Some(keys) = known(name) else { return Ok(()) };
    for (key, value) in table {
        let (at, key) = (key.span().start, key.get_ref());
        if !keys.contains(&key.as_ref()) {
            let place = if name.is_empty() { String::new() } else { format!(" in [{name}]") };
            let (hint, known) = (did_you_mean(key, keys.iter().copied()), keys.join(", "));
            return Err((Some(at), format!("unknown key {key:?}{place}{hint}; known: {known}")));
        }
        let below = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        match value.get_ref() {
            DeValue::Table(table) => check_table(&below, table, known)?,
            DeValue::Array(array) => {
                for table in array.iter().filter_map(|value| value.get_ref().as_table()) {
                    check_table(&below, table, known)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names of the fields of the struct `T` in a configuration.
pub fn of<T: DeserializeOwned>() -> &'static [&'static str] {
    /// Sees which fields a struct asks for, and gives it nothing.
    struct Fields<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(value::Error::custom("there is nothing to read"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(Fields(&mut fields));
    fields
}
