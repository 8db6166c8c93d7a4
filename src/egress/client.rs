//! Clients for calls over HTTP: of webhooks, of commands, of a bucket.

use std::sync::Once;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// A client for calls to `url`, each of which may take as long as `timeout` with all of its answer.
pub fn client(url: &Url, timeout: Duration) -> reqwest::Result<Client> {
    install_crypto();
    let client = Client::builder()
        .user_agent(concat!("deltaic/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        // Sooner: so it is known that a call did not reach anybody.
        .connect_timeout(timeout * 3 / 4)
        .redirect(Policy::none())
        .referer(false);
    // Certificates are those that the system trusts. They are not looked for where none is needed: without any, as in
    // a bare container, the client could not be built at all.
    let client = if url.scheme() == "https" { client } else { client.tls_certs_only([]) };
    client.build()
}

/// Makes `ring` the provider of cryptography for TLS in this process, where none was chosen; reqwest asks for one even
/// for plain HTTP.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
