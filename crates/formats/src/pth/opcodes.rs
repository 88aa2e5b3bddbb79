//! Names of the pickle language's opcodes, as Python's `pickletools` has them.

use super::fault::Fault;

/// Those that are not followed: they call what the file names, or belong to protocols 0 and 1,
/// in which PyTorch never wrote.
const REFUSED: [(u8, &str); 24] = [
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'S', "STRING"),
    (b'V', "UNICODE"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8d, "BINUNICODE8"),
    (0x8e, "BINBYTES8"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
    (b'\n', "a line's end"),
];

/// The refusal of an opcode.
pub(super) fn refusal(opcode: u8) -> Fault {
    let known = REFUSED.iter().find(|(code, _)| *code == opcode);
    let name = known.map_or_else(String::new, |(_, name)| format!(" {name}"));
    Fault::Foreign(format!("opcode 0x{opcode:02x}{name}"))
}
