use super::*;

#[test]
fn a_file_is_read_with_its_folder_as_the_base() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("crossfade.toml");
    let text =
        "[old]\nurl = 'postgres://u@h/d'\npassword_file = 'pw'\n[new]\nurl = 'postgres://u@g/d'\n";
    fs::write(&path, text).expect("write");
    fs::write(folder.path().join("pw"), "hunter2\n").expect("write");
    let loaded = Config::load(&path).expect("a good file");
    assert_eq!(
        loaded.config.state_dir,
        folder.path().join("crossfade-state")
    );
    assert_eq!(loaded.config.old.url.password.as_deref(), Some("hunter2"));
    assert_eq!(loaded.files(), [path.as_path(), &folder.path().join("pw")]);
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("crossfade.toml");
    let shown = Config::load(&path).expect_err("no file").to_string();
    assert!(
        shown.contains("crossfade.toml: cannot read the file: entity not found"),
        "{shown}"
    );
    fs::write(&path, b"# one\n\xff\n").expect("write");
    let shown = Config::load(&path).expect_err("not UTF-8").to_string();
    assert!(
        shown.contains("crossfade.toml:2:1: the file is not UTF-8"),
        "{shown}"
    );
    assert!(Config::load(folder.path()).is_err());
}
