//! The command line: what it says and how it ends.

use crate::shop::Shop;
use crossfade_tests::{Proxy, Stores, eventually};
use std::{fs, time::Duration};

#[tokio::test]
async fn phase_shows_and_edits_the_file_keeping_its_comments() {
    let shop = Shop::in_phase("use-old").await;
    let path = shop.proxy.config_path();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace(
            "[toggle.shop]",
            "# the shop moves as a whole\n[toggle.shop]",
        ),
    )
    .unwrap();
    let shown = shop.proxy.cli(&["phase"]).expect(0).stdout;
    assert!(
        shown.contains("shop") && shown.contains("use-old"),
        "{shown}"
    );
    shop.proxy.cli(&["phase", "shop", "dual-write"]).expect(0);
    eventually("phase 3", Duration::from_secs(10), async || {
        shop.proxy.toggle("shop").await["effective"] == "dual-write"
    })
    .await;
    let edited = fs::read_to_string(&path).unwrap();
    assert!(
        edited.contains("# the shop moves as a whole") && edited.contains("dual-write"),
        "{edited}"
    );
    let refused = shop.proxy.cli(&["phase", "shop", "new-only"]).expect(1);
    assert!(!(refused.stdout + &refused.stderr).is_empty());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        edited,
        "a refused move changed the file"
    );
}

#[tokio::test]
async fn wrong_usage_and_wrong_files_end_with_2() {
    let shop = Shop::in_phase("use-old").await;
    shop.proxy.cli(&["phase", "shop", "sideways"]).expect(2);
    shop.proxy.cli(&["phase", "nowhere", "use-old"]).expect(2);
    shop.proxy.cli(&["no-such-command"]).expect(2);
    shop.proxy
        .write_text("listen = 5\nlisen = \"x\"\n[old]\nurl = \"oracle://x\"\n");
    let said = shop.proxy.cli(&["check"]).expect(2).stderr;
    // Every mistake in one run.
    for mistake in ["listen", "lisen", "oracle", "new"] {
        assert!(said.contains(mistake), "{mistake} is not reported: {said}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_ends_with_3() {
    let stores = Stores::shop().await;
    let nowhere = crossfade_tests::Port::reserve();
    let missing = crossfade_tests::Endpoint {
        addr: nowhere.addr(),
        ..stores.new.own().clone()
    };
    let config = crossfade_tests::ConfigBuilder::new(stores.old.own(), &missing);
    let proxy = Proxy::new(config.toggle("shop", "use-old", crossfade_tests::SHOP_TABLES));
    proxy.cli(&["check"]).expect(3);
    proxy.cli(&["verify"]).expect(3);
}

#[tokio::test]
async fn status_as_text_and_as_json() {
    let shop = Shop::in_phase("dual-write").await;
    let text = shop.proxy.cli(&["status"]).expect(0).stdout;
    assert!(
        text.contains("shop") && text.contains("dual-write"),
        "{text}"
    );
    let json = shop.proxy.cli(&["status", "--json"]).expect(0).stdout;
    assert!(
        json.trim_start().starts_with('{') && json.contains("\"dual-write\""),
        "{json}"
    );
}

/// `crossfade check | head -1`: the reader leaves, and the command still ends by what it found.
#[tokio::test]
async fn a_command_whose_reader_has_left_goes_on() {
    let shop = Shop::in_phase("use-old").await;
    let deaf = |args: &[&str]| shop.proxy.cli_unread(args);
    deaf(&["check"]).expect(0);
    deaf(&["status"]).expect(0);
    deaf(&["phase", "shop", "dual-write", "--wait"]).expect(0);
    assert_eq!(shop.proxy.toggle("shop").await["effective"], "dual-write");
}

#[tokio::test]
async fn status_of_a_proxy_whose_file_cannot_be_read() {
    let mut shop = Shop::in_phase("dual-write").await;
    let admin = shop.proxy.admin_addr().to_string();
    let path = shop.proxy.config_path();
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    // Not the file: the address is all that it needs.
    let said = shop
        .proxy
        .cli_without_file(&["status", "--admin", &admin])
        .expect(0);
    assert!(said.stdout.contains("dual-write"), "{}", said.stdout);
    fs::rename(&away, &path).unwrap();
    shop.proxy.kill9();
    let said = shop
        .proxy
        .cli_without_file(&["status", "--admin", &admin])
        .expect(3);
    assert!(said.stderr.contains("nothing listens"), "{}", said.stderr);
}

#[tokio::test]
async fn check_says_that_all_is_well() {
    let shop = Shop::in_phase("use-old").await;
    let said = shop.proxy.cli(&["check"]).expect(0).stdout;
    assert!(said.contains("orders"), "{said}");
}
