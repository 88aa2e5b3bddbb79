//! Whom servers of https are believed by.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::decode::read;
use crate::{Error, Result};

/// The variable that OpenSSL, curl and Python read too.
const VARIABLE: &str = "SSL_CERT_FILE";

/// How servers are believed: by the authorities whose certificates the file has that the variable
/// `SSL_CERT_FILE` names, in PEM; without it by those of Mozilla's list, which is built in.
///
/// # Errors
/// A file that cannot be read, or that holds no certificate.
pub fn tls_config() -> Result<TlsConfig> {
    let file = std::env::var_os(VARIABLE).filter(|file| !file.is_empty());
    let authorities = file.map_or(Ok(RootCerts::WebPki), |file| authorities(Path::new(&file)))?;
    Ok(TlsConfig::builder().root_certs(authorities).build())
}

fn authorities(file: &Path) -> Result<RootCerts> {
    let bytes = read(file)?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let all: Vec<Certificate<'static>> = parse_pem(&bytes).filter_map(certificate).collect();
    if all.is_empty() {
        return Err(Error::Config {
            origin: VARIABLE.to_owned(),
            key: file.display().to_string(),
            expected: "certificates of authorities in PEM".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let message = authorities(file.path()).unwrap_err().to_string();
        let expected = format!(
            "SSL_CERT_FILE: {}: expected certificates of authorities in PEM, found none",
            file.path().display()
        );
        assert_eq!(message, expected);
        assert!(authorities(Path::new("none.pem")).is_err());
    }
}
