//! A file that is not to be used: none of ours, too new, damaged. It is left alone, and a look without SQLite says the same.

use super::*;

#[test]
fn a_text_file_is_refused_and_left_alone() {
    let disk = Disk::new();
    for text in ["apps:\n  - name: web\n", "x", &"x".repeat(9_000)] {
        fs::write(disk.path(), text).expect("written");
        let said = disk.refusal();
        assert!(said.contains("not a rearguard journal"));
        assert_eq!(disk.look(), Err(said));
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let disk = Disk::new();
    let other = Connection::open(disk.path()).expect("opened");
    other.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x)").expect("written");
    drop(other);
    let said = disk.refusal();
    assert!(said.contains("another program"));
    assert_eq!(disk.look(), Err(said));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let disk = Disk::with_history().await;
    other_process(&disk.path()).pragma_update(None, "user_version", 99).expect("set");
    let said = disk.refusal();
    assert!(said.contains("a newer rearguard wrote it (schema 99"));
    assert_eq!(said, disk.look().expect_err("refused"));
}

#[tokio::test]
async fn a_schema_that_nobody_wrote_is_refused_and_left_alone() {
    for version in [0, -1] {
        let disk = Disk::with_history().await;
        other_process(&disk.path()).pragma_update(None, "user_version", version).expect("set");
        let error = disk.refusal();
        assert!(error.contains("table meta already exists") && error.len() < 400, "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_that_is_only_in_the_log_yet_is_refused_too() {
    let disk = Disk::with_history().await;
    let other = other_process(&disk.path());
    super::super::file::keep_log(&other);
    other.pragma_update(None, "user_version", 99).expect("set");
    drop(other);
    let said = disk.look().expect_err("refused");
    assert!(said.contains("schema 99"));
    assert_eq!(said, disk.refusal());
}

#[tokio::test]
async fn a_look_sees_what_a_reader_sees_of_a_log_that_is_cut_off_or_damaged_anywhere() {
    let disk = Disk::with_history().await;
    let other = other_process(&disk.path());
    super::super::file::keep_log(&other);
    for version in [super::super::VERSION + 1, super::super::VERSION, super::super::VERSION + 2] {
        // The first page comes first.
        let both = format!(
            "BEGIN; PRAGMA user_version = {version}; INSERT INTO meta VALUES ({version}, 'x'); COMMIT"
        );
        other.execute_batch(&both).expect("written");
    }
    drop(other);
    let log = fs::read(disk.beside("-wal")).expect("a log");
    let (mut refused, frame) = (0, 4096 + 24);
    assert_eq!(log.len() % frame, 32, "whole frames");
    let near = |at: usize| [at - 1, at, at + 1, at + 8, at + 24 + 60, at + 2000];
    let places: Vec<usize> = (32..=log.len()).step_by(frame).flat_map(near).chain([0, 5, 20, 30]).collect();
    for place in places.into_iter().filter(|place| *place < log.len()) {
        let mut spoilt = log.clone();
        spoilt[place] ^= 1;
        for text in [&log[..place], &spoilt] {
            let copy = Disk::new();
            fs::copy(disk.path(), copy.path()).expect("copied");
            fs::write(copy.beside("-wal"), text).expect("written");
            let looked = copy.look();
            let seen: i64 = other_process(&copy.path())
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .expect("read");
            assert_eq!(
                looked.is_err(),
                seen > super::super::VERSION,
                "{place}: {looked:?}, and a reader sees {seen}"
            );
            refused += usize::from(looked.is_err());
        }
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn a_look_makes_nothing_and_disturbs_nobody() {
    let disk = Disk::new();
    let there = || {
        let entries = fs::read_dir(disk.0.path()).expect("listed").map(|entry| entry.expect("read").path());
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).expect("read");
        // The folder's time tells of a file that was made and removed.
        std::iter::once((Vec::new(), changed(disk.0.path()), disk.0.path().to_owned()))
            .chain(entries.map(|path| (fs::read(&path).expect("read"), changed(&path), path)))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((disk.look(), there().len()), (Ok(()), 1));
    let journal = disk.journal();
    for i in 0..20 {
        let before = there();
        assert_eq!(disk.look(), Ok(()));
        assert_eq!(before, there());
        journal.record(owing(&format!("app-{i}").into(), i)).await.expect("recorded");
    }
    drop(journal);
    let before = there();
    assert_eq!((disk.look(), there()), (Ok(()), before));
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let healthy = Disk::with_history().await.bytes();
    let disk = Disk::new();
    let page = 4096;
    for (what, from, to) in [
        ("magic", 0, 16),
        ("header", 16, 60),
        ("schema", 100, page),
        ("first table", page, 2 * page),
        ("middle", healthy.len() / 2, healthy.len() / 2 + page),
        ("all but the header", 100, healthy.len()),
    ] {
        let mut bytes = healthy.clone();
        bytes[from..to].fill(0xa5);
        fs::write(disk.path(), bytes).expect("written");
        let error = disk.refusal();
        assert!(error.contains("damaged"), "{what}: {error}");
        assert!(error.contains("start again"), "{what}: {error}");
        assert!(!error.contains('\n'), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_state_that_would_not_be_found_any_more_is_damage() {
    let healthy = Disk::with_history().await.bytes();
    let name = b"id-of-app-17";
    let places: Vec<usize> =
        (0..healthy.len() - name.len()).filter(|at| healthy[*at..].starts_with(name)).collect();
    // In the tables of apps and effects, in an index of each, and in the record of an incident.
    assert!(places.len() >= 5, "{places:?}");
    let mut refused = 0;
    for at in places {
        let disk = Disk::new();
        let mut bytes = healthy.clone();
        bytes[at] ^= 1;
        fs::write(disk.path(), bytes).expect("written");
        match SqliteJournal::at(disk.place()) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("start again"), "{error}");
            }
            Ok(journal) => {
                let (state, open) = journal.load(&name_of(17)).await.expect("loaded");
                assert!(state.is_some() && open.is_some(), "lost by byte {at}");
            }
        }
    }
    assert!(refused >= 4);
}

fn name_of(app: usize) -> crate::ids::PlatformAppId {
    id_of(&format!("app-{app}").into())
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_left_alone() {
    let healthy = Disk::with_history().await.bytes();
    let disk = Disk::new();
    for length in [1, 50, 99, 100, 4096, healthy.len() / 2, healthy.len() - 4096, healthy.len() - 1] {
        fs::write(disk.path(), &healthy[..length]).expect("written");
        assert!(disk.refusal().contains("damaged"), "{length} bytes");
    }
}

#[tokio::test]
async fn a_log_without_its_file_is_not_given_to_a_new_one() {
    let disk = Disk::new();
    let journal = disk.journal();
    journal.record(owing(&web(), 1)).await.expect("recorded");
    let image = Disk::new();
    fs::copy(disk.0.path().join("journal.db-wal"), image.0.path().join("journal.db-wal")).expect("copied");
    let error = SqliteJournal::at(image.place()).expect_err("refused");
    assert!(error.to_string().contains("its -wal is still there"));
    assert!(!image.path().exists());
}
