#!/usr/bin/env bash
# Apache Avro for Java 1.12.0: after a decimal gets another scale, its newest schema is compatible with the old records, and reads 1.23 as 0.0123.
#
# The specification says of schema resolution that two decimals match if their scales match (and their precisions). Java's resolution looks at the
# bytes alone: SchemaCompatibility (what the compatibility of schema registries is made of) says COMPATIBLE, and a reader with the newer schema takes
# the old unscaled number with the new scale, without an error. fastavro 1.13.1 reads the same bytes with the same two schemas as 1.23. So a column
# that goes from decimal(12,2) to decimal(12,4) has to be read by the schema of each record, and a registry does not say so.
#
# Seen with org.apache.avro:avro:1.12.0 (Maven, Java 17) and fastavro 1.13.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
for artifact in org.apache.avro:avro:1.12.0 com.fasterxml.jackson.core:jackson-core:2.17.2 com.fasterxml.jackson.core:jackson-databind:2.17.2 \
    com.fasterxml.jackson.core:jackson-annotations:2.17.2 org.slf4j:slf4j-api:2.0.13; do
    mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory="$home" > /dev/null
done
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1
cat > "$home/Read.java" << 'JAVA'
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.util.HexFormat;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.*;
import org.apache.avro.io.*;

public class Read {
    static Schema schema(int scale) {
        return new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"p\",\"type\":"
            + "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":12,\"scale\":" + scale + "}}]}");
    }

    public static void main(String[] arguments) throws Exception {
        GenericData data = new GenericData();
        data.addLogicalTypeConversion(new Conversions.DecimalConversion());
        Schema written = schema(2);
        Schema newest = schema(4);
        GenericRecord row = new GenericData.Record(written);
        row.put("p", new BigDecimal("1.23"));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(written, data).write(row, encoder);
        encoder.flush();
        System.out.println(SchemaCompatibility.checkReaderWriterCompatibility(newest, written).getType());
        for (Schema reader : new Schema[] {written, newest}) {
            BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(bytes.toByteArray(), null);
            System.out.println(new GenericDatumReader<GenericRecord>(written, reader, data).read(null, decoder).get("p"));
        }
        System.out.println(HexFormat.of().formatHex(bytes.toByteArray()));
    }
}
JAVA
java -cp "$home/*" "$home/Read.java" 2> "$home/errors" > "$home/java" || { cat "$home/errors" >&2; exit 1; }
diff <(printf 'COMPATIBLE\n1.23\n0.0123\n027b\n') "$home/java"
"$home/venv/bin/python" - << 'PYTHON'
import io
from decimal import Decimal

import fastavro

written, newest = (
    {"type": "record", "name": "r", "fields": [{"name": "p", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": scale}}]}
    for scale in (2, 4)
)
assert fastavro.schemaless_reader(io.BytesIO(bytes.fromhex("027b")), written, newest) == {"p": Decimal("1.23")}
PYTHON
echo "Java: COMPATIBLE, 1.23 is read as 0.0123; fastavro: 1.23"
