//! The structures of a Parquet file's directory, as Apache's `parquet.thrift` has them: all fields
//! that the crate `parquet` 60.1 reads.

use crate::packed::thrift::Fields;
use crate::packed::thrift::Kind::{Byte, Bytes, Double, Integer, List, Structure, Truth};

/// `FileMetaData`.
pub(super) const FILE: Fields = &[
    (1, Integer),
    (2, List(&Structure(SCHEMA))),
    (3, Integer),
    (4, List(&Structure(ROW_GROUP))),
    (5, List(&Structure(KEY_VALUE))),
    (6, Bytes),
    (7, List(&Structure(COLUMN_ORDER))),
    (8, Structure(&[])),
    (9, Bytes),
];

/// `SchemaElement`.
const SCHEMA: Fields = &[
    (1, Integer),
    (2, Integer),
    (3, Integer),
    (4, Bytes),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, Integer),
    (9, Integer),
    (10, Structure(LOGICAL_TYPE)),
];

/// `LogicalType`, of which a file has one member.
const LOGICAL_TYPE: Fields = &[
    (1, Structure(&[])),
    (2, Structure(&[])),
    (3, Structure(&[])),
    (4, Structure(&[])),
    (5, Structure(&[(1, Integer), (2, Integer)])),
    (6, Structure(&[])),
    (7, Structure(TIME)),
    (8, Structure(TIME)),
    (10, Structure(&[(1, Byte), (2, Truth)])),
    (11, Structure(&[])),
    (12, Structure(&[])),
    (13, Structure(&[])),
    (14, Structure(&[])),
    (15, Structure(&[])),
    (16, Structure(&[(1, Byte)])),
    (17, Structure(&[(1, Bytes)])),
    (18, Structure(&[(1, Bytes), (2, Integer)])),
];

/// `TimeType` and `TimestampType`: whether it is in UTC, and its unit.
const TIME: Fields =
    &[(1, Truth), (2, Structure(&[(1, Structure(&[])), (2, Structure(&[])), (3, Structure(&[]))]))];

/// `RowGroup`.
const ROW_GROUP: Fields = &[
    (1, List(&Structure(COLUMN))),
    (2, Integer),
    (3, Integer),
    (4, List(&Structure(&[(1, Integer), (2, Truth), (3, Truth)]))),
    (5, Integer),
    (6, Integer),
    (7, Integer),
];

/// `ColumnChunk`.
const COLUMN: Fields = &[
    (1, Bytes),
    (2, Integer),
    (3, Structure(COLUMN_ABOUT)),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, Structure(&[])),
    (9, Bytes),
];

/// `ColumnMetaData`.
const COLUMN_ABOUT: Fields = &[
    (1, Integer),
    (2, List(&Integer)),
    (3, List(&Bytes)),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, List(&Structure(KEY_VALUE))),
    (9, Integer),
    (10, Integer),
    (11, Integer),
    (12, Structure(STATISTICS)),
    (13, List(&Structure(&[(1, Integer), (2, Integer), (3, Integer)]))),
    (14, Integer),
    (15, Integer),
    (16, Structure(&[(1, Integer), (2, List(&Integer)), (3, List(&Integer))])),
    (17, Structure(&[(1, Structure(BOX)), (2, List(&Integer))])),
];

/// `Statistics`.
const STATISTICS: Fields = &[
    (1, Bytes),
    (2, Bytes),
    (3, Integer),
    (4, Integer),
    (5, Bytes),
    (6, Bytes),
    (7, Truth),
    (8, Truth),
    (9, Integer),
];

/// `BoundingBox`.
const BOX: Fields = &[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
];

/// `KeyValue`.
const KEY_VALUE: Fields = &[(1, Bytes), (2, Bytes)];

/// `ColumnOrder`, of which a file has one member.
const COLUMN_ORDER: Fields = &[(1, Structure(&[])), (2, Structure(&[])), (3, Structure(&[]))];
