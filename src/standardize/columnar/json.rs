//! Values of a Parquet file as JSON text: exact numbers, times in ISO 8601, binary as base64.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::array_value_to_string;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const DAY: i64 = 86_400;

/// A row as a JSON object, as it stands in the quarantine.
///
/// Numbers are exact. What is no number (NaN, the infinities) is the text that JSON records have for it. Times that are adjusted to UTC
/// end in `Z`, others have no zone. Binary is base64. Entries of a map whose key is no text have the key's JSON text as name. Columns
/// that are null are left out: they say nothing, and a member that is null would be kept where no column takes it.
pub fn json_of(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let schema = batch.schema_ref();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    write_object(names.zip(batch.columns()).filter(|(_, column)| !is_null(column, row)), row, &mut out);
    out
}

/// True if there is no value.
pub fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.is_null(row) || *column.data_type() == DataType::Null
}

/// Writes one value as JSON.
pub fn write_value(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    if is_null(column, row) {
        out.extend_from_slice(b"null");
        return;
    }
    match column.data_type() {
        DataType::Boolean => out.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Utf8View => quote(column.as_string_view().value(row), out),
        DataType::BinaryView => quote(&STANDARD.encode(column.as_binary_view().value(row)), out),
        DataType::FixedSizeBinary(_) => quote(&STANDARD.encode(column.as_fixed_size_binary().value(row)), out),
        DataType::List(_) => write_list(&column.as_list::<i32>().value(row), out),
        DataType::Map(..) => write_map(&column.as_map().value(row), out),
        DataType::Struct(fields) => {
            let names = fields.iter().map(|field| field.name().as_str());
            write_object(names.zip(column.as_struct().columns()), row, out);
        }
        DataType::Date32 => quote(&date(i64::from(native::<Date32Type>(column, row))), out),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..) => quote(&time(column, row), out),
        _ => write_number(column, row, out),
    }
}

/// Writes a value as the name of a member: a text without its quotes.
pub fn write_key(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match column.data_type() {
        DataType::Utf8View if !is_null(column, row) => out.extend_from_slice(column.as_string_view().value(row).as_bytes()),
        _ => {
            let start = out.len();
            write_value(column, row, out);
            if out[start] == b'"' {
                out.pop();
                out.remove(start);
            }
        }
    }
}

fn native<T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> T::Native {
    column.as_primitive::<T>().value(row)
}

fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn write_object<'a>(members: impl Iterator<Item = (&'a str, &'a ArrayRef)>, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, column)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        quote(name, out);
        out.push(b':');
        write_value(column, row, out);
    }
    out.push(b'}');
}

fn write_list(elements: &ArrayRef, out: &mut Vec<u8>) {
    out.push(b'[');
    for index in 0..elements.len() {
        if index > 0 {
            out.push(b',');
        }
        write_value(elements, index, out);
    }
    out.push(b']');
}

fn write_map(entries: &StructArray, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut name = Vec::new();
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(b',');
        }
        name.clear();
        write_key(entries.column(0), entry, &mut name);
        quote(&String::from_utf8_lossy(&name), out);
        out.push(b':');
        write_value(entries.column(1), entry, out);
    }
    out.push(b'}');
}

fn write_number(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    let text = match column.data_type() {
        DataType::Int8 => native::<Int8Type>(column, row).to_string(),
        DataType::Int16 => native::<Int16Type>(column, row).to_string(),
        DataType::Int32 => native::<Int32Type>(column, row).to_string(),
        DataType::Int64 => native::<Int64Type>(column, row).to_string(),
        DataType::UInt8 => native::<UInt8Type>(column, row).to_string(),
        DataType::UInt16 => native::<UInt16Type>(column, row).to_string(),
        DataType::UInt32 => native::<UInt32Type>(column, row).to_string(),
        DataType::UInt64 => native::<UInt64Type>(column, row).to_string(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => column.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Float16 => return write_float(&format!("{:?}", native::<Float16Type>(column, row).to_f32()), out),
        DataType::Float32 => return write_float(&format!("{:?}", native::<Float32Type>(column, row)), out),
        DataType::Float64 => return write_float(&format!("{:?}", native::<Float64Type>(column, row)), out),
        _ => return quote(&array_value_to_string(column, row).unwrap_or_default(), out),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Writes the shortest text that means this number and no other of its width.
fn write_float(text: &str, out: &mut Vec<u8>) {
    match text {
        "NaN" => out.extend_from_slice(b"\"NaN\""),
        "inf" => out.extend_from_slice(b"\"Infinity\""),
        "-inf" => out.extend_from_slice(b"\"-Infinity\""),
        number => out.extend_from_slice(number.as_bytes()),
    }
}

fn time(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Time32(_) => clock(native::<Time32MillisecondType>(column, row).into(), TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond) => clock(native::<Time64MicrosecondType>(column, row), TimeUnit::Microsecond),
        DataType::Time64(_) => clock(native::<Time64NanosecondType>(column, row), TimeUnit::Nanosecond),
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => native::<TimestampSecondType>(column, row),
                TimeUnit::Millisecond => native::<TimestampMillisecondType>(column, row),
                TimeUnit::Microsecond => native::<TimestampMicrosecondType>(column, row),
                TimeUnit::Nanosecond => native::<TimestampNanosecondType>(column, row),
            };
            let per_day = DAY * per_second(*unit);
            let (days, rest) = (value.div_euclid(per_day), value.rem_euclid(per_day));
            format!("{}T{}{}", date(days), clock(rest, *unit), if zone.is_some() { "Z" } else { "" })
        }
        other => unreachable!("{other} is no time"),
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `HH:mm:ss` and the fraction, if there is one, with all digits of its unit.
fn clock(value: i64, unit: TimeUnit) -> String {
    let per = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(per), value.rem_euclid(per));
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { text } else { format!("{text}.{fraction:0width$}", width = per.ilog10() as usize) }
}

/// `yyyy-MM-dd`; years beyond four digits have a sign, as in ISO 8601. Years start in March here, so that the leap day comes last.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (month, day) = (if shifted < 10 { shifted + 3 } else { shifted - 9 }, day_of_year - (153 * shifted + 2) / 5 + 1);
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}
