import com.sun.management.OperatingSystemMXBean;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Debezium embedded with a consumer that only counts (or sends to PEER_BROKERS): DIALECT PORT USER FOLDER raw|json|kafka ROWS... (the
 * password in PEER_PASSWORD).
 *
 * Reads on from the offset in FOLDER, or copies the tables of PEER_TABLES when there is none; after so many rows prints one JSON array of seconds,
 * processor seconds and rows of each segment, from its first records' arrival to its last's.
 */
public final class Peer {
    private static final OperatingSystemMXBean MACHINE =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final long[] segments;
    private final List<String> figures = new ArrayList<>();
    private final CountDownLatch end = new CountDownLatch(1);
    private long seen;
    private long first;
    private long began;
    private long processor;
    private volatile String failure;

    private Peer(long[] segments) {
        this.segments = segments;
    }

    public static void main(String[] arguments) throws Exception {
        long[] segments = new long[arguments.length - 5];
        for (int i = 0; i < segments.length; i++) {
            segments[i] = Long.parseLong(arguments[i + 5]);
        }
        Peer peer = new Peer(segments);
        Properties properties = configure(arguments[0], arguments[1], arguments[2], arguments[3]);
        if (arguments[4].equals("kafka")) {
            properties.setProperty("converter.schemas.enable", "false");
            KafkaProducer<String, String> producer = producer(System.getenv("PEER_BROKERS"));
            peer.run(DebeziumEngine.create(Json.class), properties,
                record -> producer.send(new ProducerRecord<>(record.destination(), record.key(), record.value())), producer::flush);
        } else if (arguments[4].equals("json")) {
            peer.run(DebeziumEngine.create(Json.class), properties, record -> { }, () -> { });
        } else {
            peer.run(DebeziumEngine.create(Connect.class), properties, record -> { }, () -> { });
        }
        if (peer.failure != null) {
            System.err.println(peer.failure);
            System.exit(1);
        }
        System.out.println(peer.figures);
        System.exit(0); // some of its threads outlive the engine
    }

    private static Properties configure(String dialect, String port, String user, String folder) {
        boolean isMariaDb = dialect.equals("mariadb");
        Properties properties = new Properties();
        properties.setProperty("name", "bench");
        properties.setProperty("connector.class", isMariaDb
            ? "io.debezium.connector.mariadb.MariaDbConnector" : "io.debezium.connector.mysql.MySqlConnector");
        properties.setProperty("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
        properties.setProperty("offset.storage.file.filename", folder + "/offsets");
        properties.setProperty("schema.history.internal", "io.debezium.storage.file.history.FileSchemaHistory");
        properties.setProperty("schema.history.internal.file.filename", folder + "/history");
        properties.setProperty("database.hostname", "127.0.0.1");
        properties.setProperty("database.port", port);
        properties.setProperty("database.user", user);
        properties.setProperty("database.password", System.getenv("PEER_PASSWORD"));
        properties.setProperty("database.server.id", "1900000004");
        properties.setProperty("database.ssl.mode", isMariaDb ? "disable" : "disabled");
        if (!isMariaDb) {
            properties.setProperty("driver.allowPublicKeyRetrieval", "true");
        }
        properties.setProperty("topic.prefix", "bench");
        properties.setProperty("table.include.list", System.getenv("PEER_TABLES"));
        properties.setProperty("include.schema.changes", "false");
        properties.setProperty("snapshot.mode", "initial");
        return properties;
    }

    private static KafkaProducer<String, String> producer(String brokers) {
        Properties settings = new Properties();
        settings.setProperty("bootstrap.servers", brokers);
        settings.setProperty("compression.type", "lz4");
        settings.setProperty("batch.size", "524288");
        settings.setProperty("linger.ms", "5");
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private <R> void run(DebeziumEngine.Builder<R> builder, Properties properties, Consumer<R> send, Runnable flush) throws Exception {
        DebeziumEngine<R> engine = builder
            .using(properties)
            .using((success, message, error) -> {
                if (!success) {
                    failure = message + (error == null ? "" : ": " + error);
                }
                end.countDown();
            })
            .notifying((records, committer) -> {
                count(records.size());
                for (R record : records) {
                    send.accept(record);
                }
                flush.run();
                for (R record : records) {
                    committer.markProcessed(record);
                }
                committer.markBatchFinished();
                if (figures.size() == segments.length) {
                    end.countDown();
                }
            })
            .build();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        executor.execute(engine);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                engine.close(); // who is told to end writes the offset down, too
            } catch (Exception closed) {
                // it was closed before
            }
        }));
        end.await();
        engine.close(); // it writes the offset down
        executor.shutdown();
    }

    private void count(int rows) {
        if (figures.size() == segments.length) {
            return;
        }
        if (seen == 0) {
            start(rows);
        }
        seen += rows;
        long wanted = segments[figures.size()];
        if (seen >= wanted) {
            double seconds = (System.nanoTime() - began) / 1e9;
            double used = (MACHINE.getProcessCpuTime() - processor) / 1e9;
            figures.add(String.format(
                "{\"rows\": %d, \"seconds\": %.6f, \"processor\": %.6f}", Math.min(seen, wanted) - first, seconds, used));
            seen -= wanted;
            start(seen);
        }
    }

    private void start(long rows) {
        first = rows;
        began = System.nanoTime();
        processor = MACHINE.getProcessCpuTime();
    }
}
