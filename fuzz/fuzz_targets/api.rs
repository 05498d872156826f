#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rearguard::fuzzing::api(data));
