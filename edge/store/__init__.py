"""Records and images of every trigger on the device's disk, and the verdicts that wait to be sent.

::

    records/
        records.sqlite     one row per trigger, labels, and the outboxes
        open-triggers      triggers that have no row yet, in case the process dies
        images/            see `edge.store.images`
        service-time.json  by which records and images grow old
        records.damaged-*  databases that were damaged

`StationRecords` (edge/store/station_records.py) writes the records of a line; `RecordReader` reads
them, beside a running line or without one.
"""
