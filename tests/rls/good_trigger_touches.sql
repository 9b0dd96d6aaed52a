-- A trigger that only changes its own row.
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users, at timestamptz);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$ BEGIN new.at := now(); RETURN new; END $$;
REVOKE EXECUTE ON FUNCTION public.touch() FROM PUBLIC;
CREATE TRIGGER touches BEFORE UPDATE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.touch();
