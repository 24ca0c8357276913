use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const FILE: &str = "# my file\nlisten    =   '127.0.0.1:1'   # odd   spaces\n\n[toggle.shop]  # the shop\n  phase   =   \"use-old\"   # since Monday\n\
                    [toggle.shop.table.orders]\n\n[toggle]\nusers = { phase = 3, table.users = {} } # inline\n";

#[test]
fn changes_the_phase_and_nothing_else() {
    let edited = set_phase(FILE, "shop", Phase::DualWrite).expect("an edit");
    assert_eq!(edited, FILE.replace("\"use-old\"", "\"dual-write\""));
    let edited = set_phase(FILE, "users", Phase::DualRead).expect("an edit");
    assert_eq!(edited, FILE.replace("phase = 3", "phase = 4"));
    assert_eq!(set_phase(FILE, "shop", Phase::UseOld).as_deref(), Ok(FILE));
    assert_eq!(
        set_phase(FILE, "users", Phase::DualWrite).as_deref(),
        Ok(FILE)
    );
    for windows in [
        FILE.replace('\n', "\r\n"),
        format!("\u{feff}{FILE}"),
        FILE.trim_end().to_owned(),
    ] {
        let edited = set_phase(&windows, "shop", Phase::NewOnly).expect("an edit");
        assert_eq!(edited, windows.replace("\"use-old\"", "\"new-only\""));
    }
    let literal = FILE.replace("\"use-old\"", "'use-old'");
    let edited = set_phase(&literal, "shop", Phase::DualWrite).expect("an edit");
    assert_eq!(edited, literal.replace("'use-old'", "\"dual-write\""));
}

#[test]
fn the_reference_can_walk_through_all_phases() {
    let mut text = include_str!("../../../reference.toml").to_owned();
    for phase in Phase::ALL {
        text = set_phase(&text, "shop", phase).expect("an edit");
    }
    assert_eq!(
        set_phase(&text, "shop", Phase::DeployNew).as_deref(),
        Ok(include_str!("../../../reference.toml"))
    );
}

#[test]
fn says_why_it_cannot() {
    let error = |text: &str, toggle: &str| {
        set_phase(text, toggle, Phase::UseOld)
            .expect_err("an error")
            .to_string()
    };
    assert_eq!(
        error(FILE, "shp"),
        "the file has no toggle \"shp\"; did you mean \"shop\"?"
    );
    assert_eq!(
        error(FILE, "xxxxxxx"),
        "the file has no toggle \"xxxxxxx\"; it has shop, users"
    );
    assert_eq!(
        error("", "shop"),
        "the file has no toggle \"shop\"; it has none"
    );
    assert!(error("[toggle.shop]\n", "shop").contains("has no \"phase\""));
    assert!(
        error("[toggle.shop]\nphase = '${PHASE}'\n", "shop").contains("comes from the environment")
    );
    assert!(error("a = 1\nb = \n", "shop").starts_with("line 2 is not TOML"));
}

#[test]
fn writing_replaces_the_file_and_keeps_its_rights() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("crossfade.toml");
    fs::write(&path, "old").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("permissions");
    let before = fs::metadata(&path).expect("metadata");
    write_atomically(&path, "new").expect("a write");
    let after = fs::metadata(&path).expect("metadata");
    assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    assert_eq!(
        (after.mode(), after.uid(), after.gid()),
        (before.mode(), before.uid(), before.gid())
    );
    assert_ne!(
        after.ino(),
        before.ino(),
        "written in place, where a crash leaves half a file"
    );
    assert_eq!(
        fs::read_dir(folder.path()).expect("list").count(),
        1,
        "something was left behind"
    );
}

#[test]
fn writing_follows_links_and_leaves_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (real, link) = (folder.path().join("data"), folder.path().join("etc"));
    fs::create_dir(&real).expect("mkdir");
    fs::create_dir(&link).expect("mkdir");
    fs::write(real.join("x.toml"), "old").expect("write");
    symlink("../data/x.toml", link.join("crossfade.toml")).expect("symlink");
    write_atomically(link.join("crossfade.toml"), "new").expect("a write");
    assert_eq!(
        fs::read_to_string(real.join("x.toml")).expect("read"),
        "new"
    );
    assert!(
        fs::symlink_metadata(link.join("crossfade.toml"))
            .expect("metadata")
            .is_symlink()
    );
}

#[test]
fn writing_a_file_that_is_not_there_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(write_atomically(folder.path().join("x.toml"), "new").is_err());
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
}
