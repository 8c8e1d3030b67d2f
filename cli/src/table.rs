//! Tables as CSV (RFC 4180), fields in quotes where they must be.

/// Rows of fields, the first of them the names of the columns.
///
/// # Panics
/// Where rows differ in length.
pub fn csv<R>(rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item: AsRef<[u8]>>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("memory takes any row, and all have as many fields");
    }
    let bytes = writer.into_inner().expect("memory takes all rows");
    String::from_utf8(bytes).expect("the fields are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let text = csv([["a b", "a,b"], ["say \"a\"", ""]]);
        assert_eq!(text, "a b,\"a,b\"\n\"say \"\"a\"\"\",\n");
    }
}
