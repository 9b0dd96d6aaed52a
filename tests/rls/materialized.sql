-- A materialized view keeps a copy of everybody's rows.
-- expect: materialized_view_exposed public.counts
SET ROLE owner;
CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users);
CREATE INDEX ON public.notes (user_id);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.notes TO authenticated;
CREATE POLICY own ON public.notes TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE MATERIALIZED VIEW public.counts AS SELECT user_id, count(*) FROM public.notes GROUP BY 1;
GRANT SELECT ON public.counts TO authenticated;
