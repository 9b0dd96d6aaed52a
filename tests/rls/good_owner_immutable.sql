-- A row's owner stays, whatever is written.
-- probe: none
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.user_id := old.user_id; RETURN new; END $$;
REVOKE EXECUTE ON FUNCTION public.stays() FROM PUBLIC;
CREATE TRIGGER stays BEFORE UPDATE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.stays();
