-- What is not exposed is not the API's business.
SET ROLE owner;
SET ROLE postgres;
CREATE SCHEMA internal;
CREATE TABLE internal.secrets (id int, password text);
GRANT ALL ON internal.secrets TO authenticated;
