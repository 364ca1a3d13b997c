-- Further claims about a person, as a connector gave them: JSON, name to values.
CREATE TABLE account_claims (
    account BLOB NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    claims  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
