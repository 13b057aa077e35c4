//! The first API key: given, or made at the first start, shown once and kept only as its SHA-256.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// Who may use the API with every right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKey {
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// The key itself, if it was made just now: print it, it cannot be had again.
    pub made: Option<String>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The data folder or the file in it cannot be used.
    #[error(
        "cannot use {path}: {error}; give a folder of this user by --data, or a key by --api-key"
    )]
    File {
        /// What was tried.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("expected a SHA-256 in hexadecimal in {0}; delete it to have a new key made")]
    Malformed(PathBuf),
    /// The operating system gives no randomness.
    #[error("no randomness for a new key: {0}")]
    Randomness(getrandom::Error),
}

/// The key given by `api_key`, else the one kept under `data`, else a new one.
///
/// Makes the data folder (mode 0700) where it is missing; the file has mode 0600.
///
/// # Errors
///
/// [`KeyError`], which says what to do.
pub fn api_key(config: &Config) -> Result<ApiKey, KeyError> {
    if let Some(key) = config.api_key.set() {
        return Ok(ApiKey { digest: digest(key.reveal()), made: None });
    }
    let path = config.data.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let digest = from_hex(text.trim()).ok_or(KeyError::Malformed(path))?;
            Ok(ApiKey { digest, made: None })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&config.data, path),
        Err(error) => Err(KeyError::File { path, error }),
    }
}

fn make(folder: &Path, path: PathBuf) -> Result<ApiKey, KeyError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
    let key = format!("plenary_{}", to_hex(&random));
    let digest = digest(&key);
    match keep(folder, &path, &digest) {
        Ok(()) => Ok(ApiKey { digest, made: Some(key) }),
        Err(error) => Err(KeyError::File { path, error }),
    }
}

fn keep(folder: &Path, path: &Path, digest: &[u8; 32]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?; // Whatever the umask is.
    writeln!(file, "{}", to_hex(digest))?;
    file.sync_all()
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn to_hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| char::from(HEX[usize::from(nibble)]);
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let octets: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { octets.try_into().ok() } else { None }
}

const FILE: &str = "api-key.sha256";
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_key_and_the_second_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().join("new"), ..Config::default() };

        let first = api_key(&config).unwrap();
        let second = api_key(&config).unwrap();

        let made = first.made.unwrap();
        assert_eq!(digest(&made), first.digest);
        assert_eq!(second, ApiKey { digest: first.digest, made: None });
        let path = config.data.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(path).unwrap().contains(&made[8..]));
    }

    #[test]
    fn a_given_key_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let api_key_given = "0123456789abcdef".parse().unwrap();
        let config = Config {
            data: folder.path().to_owned(),
            api_key: crate::config::Auto::Set(api_key_given),
            ..Config::default()
        };

        let key = api_key(&config).unwrap();

        assert_eq!(key, ApiKey { digest: digest("0123456789abcdef"), made: None });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_spoilt_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        for spoilt in ["", "00", "zz", &"é".repeat(32), &"0".repeat(66)] {
            fs::write(folder.path().join(FILE), spoilt).unwrap();

            let error = api_key(&config).unwrap_err();

            assert!(error.to_string().contains("delete it"), "{error}");
        }
    }
}
