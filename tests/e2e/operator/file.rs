//! The configuration file while the proxy runs.

use crate::shop::Shop;
use crossfade_tests::{Proxy, eventually};
use std::{fs, os::unix::fs::symlink, time::Duration};

const SOON: Duration = Duration::from_secs(10);

/// Waits until `/status` says whether the file is good; gives what it says is wrong.
async fn config_is(proxy: &Proxy, good: bool) -> String {
    eventually(
        if good {
            "the file is good"
        } else {
            "the file is bad"
        },
        SOON,
        async || proxy.status().await["config"]["ok"] == good,
    )
    .await;
    proxy.status().await["config"]["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn trap_39_a_broken_file_changes_nothing_and_is_reported_everywhere() {
    let mut shop = Shop::in_phase("dual-write").await;
    let good = fs::read_to_string(shop.proxy.config_path()).unwrap();
    let cases = [
        ("this is not TOML".to_owned(), ""),
        (good[..good.len() / 2].to_owned(), ""),
        (good.replace("dual-write", "dual-wirte"), "dual-wirte"),
        (
            good.replace("version = \"updated_at\"", "verison = \"updated_at\""),
            "verison",
        ),
        (String::new(), ""),
        (format!("{good}\n[toggle.shop]\nphase = \"use-old\"\n"), ""),
    ];
    for (text, named) in cases {
        let before = shop
            .proxy
            .metrics()
            .await
            .sum("crossfade_config_reloads_total", &[])
            .unwrap_or(0.0);
        shop.proxy.write_text(&text);
        let error = config_is(&shop.proxy, false).await;
        assert!(error.contains(named), "{named} is not named in: {error}");
        assert_eq!(shop.proxy.toggle("shop").await["effective"], "dual-write");
        let after = shop
            .proxy
            .metrics()
            .await
            .sum("crossfade_config_reloads_total", &[])
            .unwrap_or(0.0);
        assert!(after > before, "the reload is not counted");
        if !named.is_empty() {
            let status = shop.proxy.cli(&["status"]).expect(0).stdout;
            assert!(status.contains("the file is broken"), "{status}");
        }
        shop.run("UPDATE orders SET total = total + 1 WHERE id = 1")
            .await;
        shop.proxy.write_text(&good);
        config_is(&shop.proxy, true).await;
    }
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn a_file_behind_swapped_symlinks_as_kubernetes_mounts_it() {
    let shop = Shop::in_phase("use-old").await;
    let path = shop.proxy.config_path();
    let folder = path.parent().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for (version, phase) in [
        ("..v1", "use-old"),
        ("..v2", "dual-write"),
        ("..v3", "use-old"),
    ] {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(
            folder.join(version).join("crossfade.toml"),
            text.replace("\"use-old\"", &format!("\"{phase}\"")),
        )
        .unwrap();
        symlink(version, folder.join("..data.next")).unwrap();
        fs::rename(folder.join("..data.next"), folder.join("..data")).unwrap();
        if version == "..v1" {
            fs::remove_file(&path).unwrap();
            symlink("..data/crossfade.toml", &path).unwrap();
        }
        eventually(phase, SOON, async || {
            shop.proxy.toggle("shop").await["effective"] == phase
        })
        .await;
    }
}

#[tokio::test]
async fn a_file_rewritten_in_place_and_one_removed_for_a_moment() {
    let shop = Shop::in_phase("use-old").await;
    let path = shop.proxy.config_path();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"use-old\"", "\"dual-write\"")).unwrap();
    eventually("phase 3", SOON, async || {
        shop.proxy.toggle("shop").await["effective"] == "dual-write"
    })
    .await;
    fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(shop.proxy.toggle("shop").await["effective"], "dual-write");
    fs::write(&path, text).unwrap();
    eventually("phase 2", SOON, async || {
        shop.proxy.toggle("shop").await["effective"] == "use-old"
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let shop = Shop::in_phase("use-old").await;
    let text = fs::read_to_string(shop.proxy.config_path()).unwrap();
    let other = crossfade_tests::Port::reserve();
    let moved = text.lines().map(|line| match line.strip_prefix("listen") {
        Some(_) => format!("listen = \"{}\"", other.addr()),
        None => line.to_owned(),
    });
    shop.proxy.write_text(&moved.collect::<Vec<_>>().join("\n"));
    eventually("the log names the restart", SOON, async || {
        let log = shop.proxy.log();
        log.contains("restart") && log.contains("listen")
    })
    .await;
    shop.run("SELECT 1").await;
}

#[tokio::test]
async fn sighup_reads_the_file_again() {
    let mut shop = Shop::in_phase("use-old").await;
    shop.proxy.ask("shop", "dual-write");
    let pid = shop.proxy.pid().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    eventually("phase 3", SOON, async || {
        shop.proxy.toggle("shop").await["effective"] == "dual-write"
    })
    .await;
}
