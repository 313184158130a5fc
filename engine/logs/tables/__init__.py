"""Tables that grow by rows: CSV and TSV files of any tool, and DVCLive's folders of them."""
