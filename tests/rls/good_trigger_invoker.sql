-- A trigger with its user's rights.
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE TABLE public.log (id uuid);
CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS $$ BEGIN INSERT INTO public.log VALUES (new.id); RETURN new; END $$;
REVOKE EXECUTE ON FUNCTION public.tell() FROM PUBLIC;
CREATE TRIGGER tells AFTER INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.tell();
