"""The codes of the schema and data loaders.

Each row is a code, whose fault it is, whether trying again may help, a message, its cause and a remedy.
"""

from protocol.codes import Row

LOADING: tuple[Row, ...] = (
    ("schema.file_invalid", "sender", "final", "The file is no schema or stores file.",
     "It is neither JSON nor TOML, or has another structure.",
     "Correct what the detail names; docs/transactions.md shows both."),
    ("schema.not_alterable", "sender", "final", "The table cannot be altered into this.",
     "Keys and the types of columns stay for life.",
     "Create another table, export the rows and import them there."),
    ("schema.would_drop", "sender", "final", "The alteration would drop columns and their values.",
     "The file does not have columns that the table has.",
     "Add them to the file, name them in `renames`, or say --drop-columns."),
    ("schema.not_importable", "sender", "final", "The table cannot be imported.",
     "It has no primary key, or a column of a type that has no equal here.",
     "Give it a key, or copy it into a table with other types first."),
    ("data.line_invalid", "sender", "final", "A line of the data file is no row of the table.",
     "It cannot be read, or a value is not of its column.",
     "Correct the line, or let such lines go into a file with --rejects."),
    ("data.row_refused", "sender", "final", "A row of the data file was refused.",
     "Its key is in the table already, or the row breaks a rule of the store.",
     "Correct the row, use --upsert, or let such rows go into a file with --rejects."),
    ("data.file_unusable", "world", "final", "The data file cannot be read or written.",
     "It is not there, or may not be read or written.",
     "Correct the name, or the rights."),
    ("data.file_exists", "sender", "final", "The data file is there already.",
     "An export writes over nothing by itself.",
     "Choose another name, or say --replace."),
)  # fmt: skip
