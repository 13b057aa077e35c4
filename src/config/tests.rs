//! Who wins, and what is said when something is wrong.

use std::fs;

use super::*;

#[test]
fn the_sample_is_the_default_and_names_every_key() {
    let written = figment::value::Value::serialize(Config::default()).unwrap();

    let again: Config = written.deserialize().unwrap();
    let loaded = load("", &[], Flags::default()).unwrap();

    assert_eq!(again, Config::default());
    assert_eq!(loaded.config(), &Config::default());
    assert_eq!(loaded.config().warnings(), Vec::<String>::new());
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "api = \"127.0.0.1:1\"\nlog = \"warn\"\nrtp_ports = \"20000-20099\"\n";
    let environment = [("PLENARY_API", "127.0.0.1:2"), ("PLENARY_LOG", "error")];
    let flags = Flags { api: Some("127.0.0.1:3".to_owned()), ..Flags::default() };

    let loaded = load(file, &environment, flags).unwrap();

    let config = loaded.config();
    assert_eq!(config.api, "127.0.0.1:3".parse().unwrap());
    assert_eq!(config.log, "error");
    assert_eq!(config.rtp_ports.to_string(), "20000-20099");
    assert_eq!(config.data, PathBuf::from("plenary-data"));
}

#[test]
fn every_kind_of_value_comes_through_the_environment() {
    let environment = [
        ("PLENARY_SIP_UDP", "127.0.0.1:5070, [::1]:5070"),
        ("PLENARY_SIP_TCP", "off"),
        ("PLENARY_PUBLIC_IP", ""),
        ("PLENARY_API_KEY", "0123456789012345"),
        ("PLENARY_MEDIA_WORKERS", "3"),
        ("PLENARY_MEDIA_CODECS", "PCMA"),
        ("PLENARY_MEDIA_OPUS_FEC", "false"),
        ("PLENARY_LIMITS_ROOMS", "7"),
        ("PLENARY_DRAIN_GRACE", "2m"),
        ("PLENARY_SERVICE_HOST", "10.0.0.1"),
        ("PLENARY_PORT_5060_UDP_ADDR", "10.0.0.1"),
        ("HOME", "/"),
    ];

    let loaded = load("", &environment, Flags::default()).unwrap();

    let config = loaded.config();
    assert_eq!(config.sip.udp.0.len(), 2);
    assert_eq!(config.sip.tcp.0, []);
    assert_eq!(config.public_ip, Auto::Auto);
    assert_eq!(config.api_key.set().map(Secret::reveal), Some("0123456789012345"));
    assert_eq!(config.media.workers.set().map(|workers| workers.get()), Some(3));
    assert_eq!(config.media.codecs.len(), 1);
    assert!(!config.media.opus_fec);
    assert_eq!(config.limits.rooms, 7);
    assert_eq!(config.drain_grace, Duration::from_mins(2));
}

#[test]
fn flags_may_repeat_and_switch_off() {
    let flags = Flags {
        sip_udp: vec!["127.0.0.1:5070".to_owned(), "127.0.0.2:5070".to_owned()],
        sip_tcp: vec!["off".to_owned()],
        ..Flags::default()
    };

    let loaded = load("", &[], flags).unwrap();

    assert_eq!(loaded.config().sip.udp.0.len(), 2);
    assert_eq!(loaded.config().sip.tcp.0, []);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let cases = [
        ("public_pi = \"auto\"", "public_pi", "did you mean public_ip?"),
        ("[media]\nptme = \"20ms\"", "media.ptme", "did you mean media.ptime?"),
        ("codecs = []", "codecs", "did you mean media.codecs?"),
        ("[media.opus]\nfec = true", "media.opus.fec", "did you mean media.opus_fec?"),
    ];
    for (file, key, nearest) in cases {
        let said = load(file, &[], Flags::default()).unwrap_err().to_string();

        assert!(said.starts_with(key) && said.contains(nearest), "{said}");
    }
    let said = load("", &[("PLENARY_SIP_UPD", "off")], Flags::default()).unwrap_err().to_string();
    assert!(said.contains("did you mean PLENARY_SIP_UDP?"), "{said}");
}

#[test]
fn a_wrong_value_is_refused_with_key_source_and_expectation() {
    let cases = [
        ("rtp_ports = \"1-2\"", "rtp_ports", "expected an even and a higher odd port"),
        ("api = \"8080\"", "api", "invalid socket address"),
        ("drain_grace = 30", "drain_grace", "as in 20ms, 30s, 5m or 2h"),
        ("[sip]\nudp = \"5060\"", "sip.udp", "0.0.0.0:5060"),
        ("[sip]\nudp = \"off\"\ntcp = \"off\"", "sip.udp", "a listener"),
        ("[sip]\ntls = \"0.0.0.0:5061\"", "sip.tls", "sip.tls_certificate and"),
        ("[sip]\nws_origins = [\"phone.example\"]", "sip.ws_origins", "https://"),
        ("[dns]\nservers = [\"dns.example\"]", "dns.servers", "192.0.2.53"),
        ("[dns]\nhosts = 0", "dns.hosts", "1 to 64"),
        ("[hep]\ncollector = \"homer\"", "hep.collector", "\"off\""),
        ("[media]\nptime = \"25ms\"", "media.ptime", "10ms to 60ms"),
        ("[media]\ncodecs = [\"G729\"]", "media.codecs", "expected one of opus"),
        ("[media]\nworkers = 0", "media.workers", "\"auto\""),
        ("[limits]\nrooms = -1", "limits.rooms", "-1"),
        ("[sip]\nmin_se = \"60s\"", "sip.min_se", "at least 90s"),
        ("[sip]\nsession_expires = \"1m\"", "sip.session_expires", "at least sip.min_se"),
        ("[sip]\nprack = \"maybe\"", "sip.prack", "expected"),
        ("[limits]\nrooms = 0", "limits.rooms", "at least 1"),
        ("[rooms]\nauto_create_from = [\"10.0.0.0\"]", "rooms.auto_create_from", "10.0.0.0/8"),
        ("database = \"mysql://db\"", "database", "expected a URL as in postgres://"),
        ("api_cors = [\"desk.example\"]", "api_cors", "expected \"*\" or an origin"),
        ("api_cors = [\"https://desk.example/\"]", "api_cors", "found \"https://desk.example/\""),
        ("api_cors = [\"https://desk.example:443\"]", "api_cors", "without the usual port"),
        ("api_cors = [\"https://Desk.example\"]", "api_cors", "in small letters"),
        ("log_format = \"xml\"", "log_format", "text"),
        ("log = [", "", "TOML"),
    ];
    for (file, key, expected) in cases {
        let said = load(file, &[], Flags::default()).unwrap_err().to_string();

        assert!(said.contains(key) && said.contains(expected), "{file}: {said}");
        assert!(said.contains("plenary.toml"), "{file}: {said}");
    }
    let flags = Flags { media_workers: Some("many".to_owned()), ..Flags::default() };
    let said = load("", &[], flags).unwrap_err().to_string();
    assert!(said.contains("flag --media-workers"), "{said}");
}

#[test]
fn a_missing_file_is_an_error_only_when_asked_for() {
    let flags = Flags { config: Some("/nowhere/plenary.toml".into()), ..Flags::default() };

    let said = Config::load(&flags, []).unwrap_err().to_string();

    assert!(said.contains("/nowhere/plenary.toml"), "{said}");
}

#[test]
fn the_explanation_is_a_settings_file_of_what_is_in_force() {
    let environment = [("PLENARY_API_KEY", "0123456789012345"), ("PLENARY_LIMITS_LEGS", "9")];
    let loaded = load("log = \"warn\"", &environment, Flags::default()).unwrap();

    let explained = loaded.explain();

    assert!(explained.contains("legs = 9  # from: environment variable PLENARY_LIMITS_LEGS\n"));
    assert!(explained.contains("log = \"warn\"  # from: ") && explained.contains("plenary.toml\n"));
    assert!(explained.contains("ptime = \"20ms\"  # from: default\n"));
    assert!(!explained.contains("0123456789012345"));
    let again = load(&explained.replace("api_key = \"…\"", ""), &[], Flags::default()).unwrap();
    assert_eq!(again.config().limits, loaded.config().limits);
}

#[test]
fn surprises_are_told() {
    let file = "rtp_ports = \"20000-20009\"\napi = \"0.0.0.0:8080\"\npublic_ip = \"0.0.0.0\"\n\
        [rooms]\nauto_create_from = [\"0.0.0.0/0\"]\n";

    let warnings = load(file, &[], Flags::default()).unwrap().config().warnings();

    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings[0].contains("has room for 5 legs"));
}

/// Loads with this file, these variables and these flags.
fn load(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Loaded, ConfigError> {
    let (_folder, path) = written(file);
    let environment = environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned()));
    Config::load(&Flags { config: Some(path), ..flags }, environment)
}

/// A settings file that lives as long as its folder.
fn written(file: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plenary.toml");
    fs::write(&path, file).unwrap();
    (folder, path)
}
