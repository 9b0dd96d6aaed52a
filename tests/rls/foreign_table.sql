-- There are no policies on foreign tables.
-- expect: foreign_table_exposed public.remote
-- expect: extension_in_public file_fdw
SET ROLE owner;
RESET ROLE;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE public.remote (line text) SERVER files OPTIONS (filename '/dev/null');
GRANT SELECT ON public.remote TO authenticated;
