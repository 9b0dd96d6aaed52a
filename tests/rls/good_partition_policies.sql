-- A partition that is granted itself, with the policies of its parent.
-- probe: none
SET ROLE owner;
CREATE TABLE public.events (id uuid NOT NULL, user_id uuid NOT NULL REFERENCES auth.users, kind text NOT NULL, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE INDEX ON public.events (user_id);
CREATE TABLE public.clicks PARTITION OF public.events FOR VALUES IN ('click');
ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.clicks ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.events, public.clicks TO authenticated;
CREATE POLICY own ON public.events TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY own ON public.clicks TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
