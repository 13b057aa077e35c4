//! The `slapd` of `OpenLDAP`, with people and groups of the test's own.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::{free_port, fresh_folder};
use super::certificates::Authority;

/// A directory server; it goes with this value.
#[derive(Debug)]
pub struct Slapd {
    child: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Slapd {
    /// One whose certificate is signed by `authority`; nobody reads in it but who has said who they are, and nobody writes.
    pub fn start(authority: &Authority) -> Self {
        let (folder, address) = (fresh_folder(), free_port());
        authority.sign(&["127.0.0.1", "localhost"], &folder);
        let at = folder.display();
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
            include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb.la\n\
            pidfile {at}/pid\nTLSCACertificateFile {ca}\nTLSCertificateFile {at}/cert.pem\nTLSCertificateKeyFile {at}/key.pem\n\
            security simple_bind={security}\n\
            database mdb\nsuffix \"dc=example,dc=test\"\ndirectory {at}/db\n\
            access to attrs=userPassword by anonymous auth by * none\n\
            access to * by dn.exact=\"cn=bridge,dc=example,dc=test\" read by anonymous auth by * none\n",
            ca = authority.path().display(),
            security = 128, // what is proved by a password is proved over TLS
        );
        std::fs::create_dir(folder.join("db")).unwrap();
        std::fs::write(folder.join("slapd.conf"), config).unwrap();
        std::fs::write(folder.join("people.ldif"), PEOPLE).unwrap();
        let filled = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(folder.join("slapd.conf"))
            .arg("-l")
            .arg(folder.join("people.ldif"))
            .output()
            .expect("slapadd runs (Debian: slapd)");
        assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &format!("ldap://{address}/"), "-f"])
            .arg(folder.join("slapd.conf"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slapd runs (Debian: slapd)");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "slapd does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Self { child, folder, address }
    }

    /// It is gone.
    pub fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Settings of a bridge that asks the directory at this address.
pub fn directory_settings(address: SocketAddr, authority: &Authority, more: &str) -> String {
    format!(
        "[directory]\nurl = \"ldap://{address}\"\nca = \"{}\"\nbind_dn = \"cn=bridge,dc=example,dc=test\"\n\
        bind_password = \"service-secret\"\nbase = \"ou=people,dc=example,dc=test\"\n\
        groups = [{{ dn = \"cn=operators,ou=groups,dc=example,dc=test\", scopes = [\"rooms:read\", \"rooms:control\"] }}, \
        {{ dn = \"cn=callers,ou=groups,dc=example,dc=test\", scopes = [\"rooms:read\", \"calls:write\"] }}, \
        {{ dn = \"cn=none,ou=groups,dc=example,dc=test\", scopes = [\"admin\"] }}]\n{more}\n",
        authority.path().display()
    )
}

const PEOPLE: &str = "dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=bridge,dc=example,dc=test
objectClass: person
cn: bridge
sn: bridge
userPassword: service-secret

dn: ou=people,dc=example,dc=test
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=test
objectClass: organizationalUnit
ou: groups

dn: uid=ada,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
uid: ada
cn: Ada Lovelace
sn: Lovelace
telephoneNumber: +4930111
mail: ada@example.test
userPassword: correct-horse

dn: uid=grace,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
uid: grace
cn: Grace Hopper (Rear Admiral)
sn: Hopper
telephoneNumber: +4930222
userPassword: nanosecond

dn: uid=bob,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
userPassword: battery-staple

dn: cn=operators,ou=groups,dc=example,dc=test
objectClass: groupOfNames
cn: operators
member: uid=ada,ou=people,dc=example,dc=test
member: uid=grace,ou=people,dc=example,dc=test

dn: cn=callers,ou=groups,dc=example,dc=test
objectClass: groupOfUniqueNames
cn: callers
uniqueMember: uid=ada,ou=people,dc=example,dc=test
";
