//! A folder to run the program in, and small files to run it on.

use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// The program.
pub const WGRAD: &str = env!("CARGO_BIN_EXE_wgrad");

/// What a run of the program came to.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Checks that the run was refused with `code`, and that the message says all of `words`.
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "expected {word:?} in {}", self.stderr);
        }
    }
}

/// A folder that the program runs in.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs the program in this folder, on the CPU; arguments are separated by spaces.
    pub fn wgrad(&self, arguments: &str) -> Run {
        self.wgrad_on("cpu", &[], arguments)
    }

    /// Runs the program in this folder on `device`, with variables added to its environment.
    pub fn wgrad_on(&self, device: &str, environment: &[(&str, &str)], arguments: &str) -> Run {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        self.run(environment, &[&["--device", device], &arguments[..]].concat())
    }

    /// Runs the program in this folder with arguments that may hold spaces.
    pub fn run(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Run {
        let output = assert_cmd::Command::new(WGRAD)
            .current_dir(self.0.path())
            .env("WGRAD_CACHE_DIR", self.path("cache"))
            .envs(environment.iter().copied())
            .args(arguments)
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program, which must do well.
    pub fn well(&self, arguments: &str) -> Run {
        let run = self.wgrad(arguments);
        assert_eq!(run.code, 0, "{arguments}: {}", run.stderr);
        run
    }

    /// Writes `name`: 120 flowers of three species, told apart by four measures.
    pub fn flowers(&self, name: &str) {
        let mut text = "length,width,height,weight,species\n".to_owned();
        for i in 0..120 {
            let species = i % 3;
            for measure in 0..4 {
                let centre = [[1.0, 9.0, 30.0, 2.0], [4.0, 5.0, 10.0, 2.5], [7.0, 9.0, 20.0, 1.0]][species][measure];
                text += &format!("{:.4},", centre * (1.0 + 0.1 * noise(4 * i + measure)));
            }
            text += ["iris\n", "rose, wild\n", "tulip\n"][species].replace("rose, wild", "\"rose, wild\"").as_str();
        }
        self.write(name, text);
    }

    /// Writes `name`: 80 rows with two inputs and the numbers `sum` and `difference`.
    pub fn sums(&self, name: &str) {
        let mut text = "a,b,sum,difference\n".to_owned();
        for i in 0..80 {
            let (a, b) = (noise(2 * i), noise(2 * i + 1));
            text += &format!("{a:.5},{b:.5},{:.5},{:.5}\n", a + b, a - b);
        }
        self.write(name, text);
    }
}

/// A number in [-1, 1) for each `i`, the same every time (Weyl's sequence of the golden ratio).
pub fn noise(i: usize) -> f64 {
    2.0 * ((i as f64 + 1.0) * 0.618_033_988_749_895 * (1.0 + (i % 7) as f64)).fract() - 1.0
}

/// A safetensors file of f32 or f64: shape and numbers of each tensor, and the metadata.
pub struct Tensors {
    pub tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
    pub metadata: HashMap<String, String>,
}

impl Tensors {
    pub fn of(bytes: &[u8]) -> Self {
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let data = &bytes[8 + header..];
        let mut header: HashMap<String, Value> = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let metadata = header.remove("__metadata__").map(|value| serde_json::from_value(value).unwrap());
        let tensor = |info: &Value| {
            assert_eq!(info["dtype"], "F32");
            let (shape, offsets): (Vec<usize>, [usize; 2]) = (
                serde_json::from_value(info["shape"].clone()).unwrap(),
                serde_json::from_value(info["data_offsets"].clone()).unwrap(),
            );
            let (numbers, _) = data[offsets[0]..offsets[1]].as_chunks::<4>();
            (shape, numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect())
        };
        Tensors {
            tensors: header.iter().map(|(name, info)| (name.clone(), tensor(info))).collect(),
            metadata: metadata.unwrap_or_default(),
        }
    }
}
