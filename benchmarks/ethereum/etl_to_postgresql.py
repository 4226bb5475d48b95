"""ethereum-etl's own job and PostgreSQL exporter, put together as its command `stream` does it, but without receipts.

Run by the interpreter of ethereum-etl's environment: `python etl_to_postgresql.py NODE DATABASE FIRST LAST`; prints the seconds that
it took. Blocks and transactions go into tables as its schema has them, keyed by their hashes.
"""

import sys
import time

from blockchainetl.jobs.exporters.in_memory_item_exporter import InMemoryItemExporter
from ethereumetl.jobs.export_blocks_job import ExportBlocksJob
from ethereumetl.providers.auto import get_provider_from_uri
from ethereumetl.streaming.item_exporter_creator import create_item_exporter
from ethereumetl.streaming.postgres_tables import BLOCKS, TRANSACTIONS, metadata
from ethereumetl.thread_local_proxy import ThreadLocalProxy

BLOCKS_AT_ONCE = 100
"""As its exports to CSV have it by default, so that a commit is a batch."""


def main(node: str, database: str, first: int, last: int) -> None:
    exporter = create_item_exporter(database)
    exporter.engine.echo = False
    metadata.drop_all(exporter.engine, tables=[BLOCKS, TRANSACTIONS])
    metadata.create_all(exporter.engine, tables=[BLOCKS, TRANSACTIONS])
    start = time.perf_counter()
    for number in range(first, last + 1, BLOCKS_AT_ONCE):
        collected = InMemoryItemExporter(item_types=["block", "transaction"])
        ExportBlocksJob(
            start_block=number,
            end_block=min(last, number + BLOCKS_AT_ONCE - 1),
            batch_size=BLOCKS_AT_ONCE,
            batch_web3_provider=ThreadLocalProxy(lambda: get_provider_from_uri(node, batch=True)),
            max_workers=5,
            item_exporter=collected,
            export_blocks=True,
            export_transactions=True,
        ).run()
        blocks, transactions = collected.get_items("block"), collected.get_items("transaction")
        exporter.export_items(blocks + transactions)
    seconds = time.perf_counter() - start
    stored = exporter.engine.execute("SELECT count(*) FROM blocks").scalar()
    if stored != last - first + 1:
        sys.exit(f"{stored} blocks are stored")
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
