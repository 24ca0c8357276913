//! `crossfade users import`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crossfade_config::users;
use crossfade_tests::{Proxy, SHOP_TABLES, Stores};

fn names(proxy: &Proxy) -> Vec<String> {
    let text = fs::read_to_string(proxy.config_path().with_file_name("users.txt")).unwrap();
    let users = users::parse(&text).unwrap();
    users.into_iter().map(|user| user.name).collect()
}

#[tokio::test]
async fn roles_are_imported_and_those_that_cannot_be_are_named() {
    let stores = Stores::shop().await;
    let config = stores
        .config("deploy-new", SHOP_TABLES)
        .section("[users]\nfile = \"users.txt\"");
    let proxy = Proxy::new(config);
    let said = proxy.cli(&["users", "import"]).expect(0).stdout;
    assert!(
        said.contains("app_md5: its password is kept as md5"),
        "{said}"
    );
    let all = names(&proxy);
    for name in ["app", "app_scram", "crossfade"] {
        assert!(all.contains(&name.to_owned()), "{all:?}");
    }
    assert!(!all.contains(&"app_md5".to_owned()));
    let file = proxy.config_path().with_file_name("users.txt");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // With names, the rest of the list stays.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\napp_scram ", "\nby_hand ")).unwrap();
    let one = ["users", "import", "--role", "app_scram"];
    proxy.cli(&one).expect(0);
    let now = names(&proxy);
    for name in ["app", "app_scram", "by_hand"] {
        assert!(now.contains(&name.to_owned()), "{now:?}");
    }
    let said = proxy.cli(&["users", "import", "--role", "app_md5", "--role", "nobody"]);
    let said = said.expect(1).stdout;
    assert!(
        said.contains("nobody: the old store has no such login role"),
        "{said}"
    );
}

#[tokio::test]
async fn an_account_that_may_not_read_passwords_is_told_what_to_grant() {
    let stores = Stores::shop().await;
    let role = format!("{}_clerk", stores.old.name());
    stores
        .old
        .run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'"))
        .await;
    let mut account = stores.old.own().clone();
    account.user.clone_from(&role);
    account.password = "secret".to_owned();
    let config = crossfade_tests::ConfigBuilder::new(&account, stores.new.own());
    let with_list = config.clone().section("[users]\nfile = \"users.txt\"");
    let proxy = Proxy::new(with_list);
    let said = proxy.cli(&["users", "import"]).expect(1).stderr;
    assert!(
        said.contains(&format!(
            "GRANT SELECT ON pg_catalog.pg_authid TO \"{role}\""
        )),
        "{said}"
    );
    let said = Proxy::new(config)
        .cli(&["users", "import"])
        .expect(2)
        .stderr;
    assert!(said.contains("add [users]"), "{said}");
    stores.old.run(&format!("DROP ROLE {role}")).await;
}
