//! S3-compatible storage for tests: moto, from PyPI, with users, so that what is not signed as it should be is refused; and a line to
//! it that can be cut.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Python;

const MOTO: &str = "moto[server]==5.2.5";

/// The bucket that there is.
pub const BUCKET: &str = "histories";

/// Makes a user, and a bucket. These calls are not checked; all that follow are.
const SETUP: &str = r#"
import boto3, json, sys
at = dict(endpoint_url=sys.argv[1], verify=sys.argv[3] or None, region_name="us-east-1", aws_access_key_id="setup", aws_secret_access_key="setup")
iam = boto3.client("iam", **at)
iam.create_user(UserName="deltaic")
key = iam.create_access_key(UserName="deltaic")["AccessKey"]
allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="deltaic", PolicyName="all", PolicyDocument=json.dumps(allowed))
boto3.client("s3", **at).create_bucket(Bucket=sys.argv[2])
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// The number of calls in the script above.
const SETUP_CALLS: &str = "4";

/// Makes a certificate for this machine with its key, and the certificate of the authority that made it.
const CERTIFICATE: &str = r#"
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
def named(name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
def certified(name, of, *extensions):
    made = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named("authority")).public_key(of.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    for extension in extensions:
        made = made.add_extension(extension, False)
    return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
open(sys.argv[1], "wb").write(certified("127.0.0.1", key, address))
form = serialization.PrivateFormat.PKCS8
open(sys.argv[2], "wb").write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
open(sys.argv[3], "wb").write(certified("authority", authority, x509.BasicConstraints(True, None)))
"#;

/// Storage that is gone with the test.
pub struct S3 {
    server: Child,
    /// Where it is.
    pub url: String,
    /// The id of the key that opens it.
    pub key_id: String,
    /// The secret of that key.
    pub secret: String,
}

impl S3 {
    /// Starts it. A test that cannot have it fails.
    pub fn start() -> Self {
        Self::start_with(&Self::python(), &[], None)
    }

    /// The same behind TLS, with a certificate of an authority that nobody trusts who is not told to; and that authority, in a file.
    pub fn start_tls(folder: &Path) -> (Self, PathBuf) {
        let (python, authority) = (Self::python(), folder.join("authority.pem"));
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let files = [&certificate, &key, &authority].map(|file| file.to_str().expect("a path of tests is a text"));
        python.run(CERTIFICATE, &files);
        (Self::start_with(&python, &["-c", files[0], "-k", files[1]], Some(&authority)), authority)
    }

    fn python() -> Python {
        Python::with(MOTO).expect("this test needs python3 with venv on PATH, to run S3-compatible storage")
    }

    fn start_with(python: &Python, arguments: &[&str], authority: Option<&Path>) -> Self {
        let mut command = python.program("moto_server");
        command.args(["-H", "127.0.0.1", "-p", "0"]).args(arguments).env("INITIAL_NO_AUTH_ACTION_COUNT", SETUP_CALLS);
        command.env("PYTHONUNBUFFERED", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let url = lines.by_ref().find_map(|line| {
            let url = line.split("Running on ").nth(1)?;
            Some(url.trim().to_owned())
        });
        // It writes a line for each call, which somebody has to take.
        std::thread::spawn(move || lines.for_each(drop));
        let mut s3 =
            S3 { server, url: url.expect("it says where it is"), key_id: String::new(), secret: String::new() };
        let authority = authority.map_or("", |file| file.to_str().expect("a path of tests is a text"));
        let printed = python.run(SETUP, &[&s3.url, BUCKET, authority]);
        let (key_id, secret) = printed.trim().split_once(' ').expect("an id and a secret");
        (s3.key_id, s3.secret) = (key_id.to_owned(), secret.to_owned());
        s3
    }

    /// What opens it, as the environment of a program has it.
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("AWS_ACCESS_KEY_ID", &self.key_id), ("AWS_SECRET_ACCESS_KEY", &self.secret)]
    }

    /// A line to it.
    pub async fn line(&self) -> RequestLine {
        RequestLine::to(self.url.trim_start_matches("http://").to_owned()).await
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

/// A TCP line to a server, which can be cut for a while.
pub struct RequestLine {
    /// Where it begins.
    pub url: String,
    is_cut: Arc<watch::Sender<bool>>,
}

impl RequestLine {
    /// A line to `address`.
    async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (address, mut cut) = (address.clone(), cut.subscribe());
                tokio::spawn(async move {
                    if *cut.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(address).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        RequestLine { url, is_cut }
    }

    /// Cuts all connections, and those that follow.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}
