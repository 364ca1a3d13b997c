-- Further claims about a person, as a connector gave them: JSON, name to values.
CREATE TABLE account_claims (
    account uuid NOT NULL CONSTRAINT account_claims_account PRIMARY KEY
                          CONSTRAINT account_claims_of_account REFERENCES accounts (id) ON DELETE CASCADE,
    claims  text NOT NULL
);
