use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use super::error::SampleError;
use super::random::Random;
use super::text::Texts;
use super::timeline::{self, Timeline};

/// A recording that takes more than two leaves of 4 MiB: 9 MiB and a bit.
const RECORDING: usize = 9 * 1024 * 1024 + 12_345;
/// How many small notes are uploaded.
const NOTES: usize = 36;

/// Writes everything of a bank but its databases: configuration, Compose file, log, uploads.
pub fn write_bank(bank: &Path, seed: u64) -> Result<(), SampleError> {
    let start = timeline::start();
    write(&bank.join("config.json"), include_bytes!("assets/config.json"), start)?;
    write(&bank.join("compose.yaml"), include_bytes!("assets/compose.yaml"), start)?;
    let mut random = Random::new(seed, 6);
    write(&bank.join("logs/openmemory.log"), log(&mut random).as_bytes(), timeline::end())?;

    let mut texts = Texts::new(Random::new(seed, 7));
    for index in 0..NOTES {
        let time = Timeline::new(NOTES).created(index, &mut random);
        let mut note = format!("# Note {index:02}\n\n");
        for _ in 0..3 + random.below(40) {
            let _ = writeln!(note, "- {}", texts.next().content.replace('\n', "\n  "));
        }
        let folder = time.strftime("%Y-%m");
        write(&bank.join(format!("uploads/notes/{folder}/note-{index:02}.md")), note.as_bytes(), time)?;
    }
    for (name, size) in
        [("audio/meeting.wav", RECORDING), ("images/whiteboard.png", 180_000), ("images/map.png", 64_000)]
    {
        let mut bytes = vec![0; size];
        random.fill(&mut bytes);
        let magic: &[u8] = if name.ends_with("png") { b"\x89PNG\r\n\x1a\n" } else { b"RIFF\x00\x00\x00\x00WAVE" };
        if let Some(head) = bytes.get_mut(..magic.len()) {
            head.copy_from_slice(magic);
        }
        write(&bank.join("uploads").join(name), &bytes, Timeline::later(start, 2_000, &mut random))?;
    }
    Ok(())
}

/// Writes the resources that describe the bank.
pub fn write_config(config: &Path) -> Result<(), SampleError> {
    write(&config.join("memorybank.yaml"), include_bytes!("assets/memorybank.yaml"), timeline::start())
}

/// Writes a file with its time of change, and the folders that it needs.
pub fn write(path: &Path, bytes: &[u8], time: Timestamp) -> Result<(), SampleError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(SampleError::io(folder))?;
    }
    fs::write(path, bytes).map_err(SampleError::io(path))?;
    touch(path, time)
}

/// Sets the time of change.
pub fn touch(path: &Path, time: Timestamp) -> Result<(), SampleError> {
    let file = File::options().write(true).open(path).map_err(SampleError::io(path))?;
    file.set_modified(SystemTime::from(time)).map_err(SampleError::io(path))
}

fn log(random: &mut Random) -> String {
    const REQUESTS: [(&str, &str); 6] = [
        ("POST /api/v1/memories/", "200 OK"),
        ("GET /api/v1/memories/?user_id=default_user&page=1&size=50", "200 OK"),
        ("GET /api/v1/stats/?user_id=default_user", "200 OK"),
        ("GET /api/v1/config/", "200 OK"),
        ("POST /api/v1/memories/filter", "200 OK"),
        ("GET /docs", "200 OK"),
    ];
    let mut log = String::from(
        "INFO:     Started server process [1]\nINFO:     Waiting for application startup.\nINFO:     Application startup complete.\nINFO:     Uvicorn running on http://0.0.0.0:8765 (Press CTRL+C to quit)\n",
    );
    for _ in 0..400 {
        let (request, status) = random.pick(&REQUESTS);
        let _ =
            writeln!(log, "INFO:     127.0.0.1:{} - \"{request} HTTP/1.1\" {status}", 32_768 + random.below(28_000));
        if random.chance(5) {
            log.push_str("WARNING:  retrying request to /embeddings in 0.4 seconds\n");
        }
    }
    log
}
