-- A public bucket's files can be listed.
-- expect: bucket_listing storage.objects: list
SET ROLE owner;
RESET ROLE;
CREATE SCHEMA storage;
GRANT USAGE ON SCHEMA storage TO anon, authenticated;
CREATE TABLE storage.objects (id uuid PRIMARY KEY, bucket_id text, name text);
CREATE INDEX ON storage.objects (bucket_id);
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON storage.objects TO anon;
CREATE POLICY list ON storage.objects FOR SELECT TO anon USING (bucket_id = 'avatars');
