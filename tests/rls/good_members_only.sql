-- A team has no founder: its members say whose it is, and only the server adds them.
-- probe: none
SET ROLE owner;
CREATE TABLE public.teams (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);
CREATE TABLE public.members (team_id uuid NOT NULL REFERENCES public.teams, user_id uuid NOT NULL REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
CREATE INDEX ON public.members (user_id);
CREATE TABLE public.docs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), team_id uuid NOT NULL REFERENCES public.teams, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.docs (team_id);
ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.docs ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.teams, public.members TO authenticated;
GRANT SELECT, INSERT ON public.docs TO authenticated;
CREATE POLICY own ON public.teams FOR SELECT TO authenticated USING (id IN (SELECT m.team_id FROM public.members m WHERE m.user_id = (SELECT auth.uid())));
CREATE POLICY seen ON public.members FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY seen ON public.docs TO authenticated USING (team_id IN (SELECT m.team_id FROM public.members m WHERE m.user_id = (SELECT auth.uid())))
    WITH CHECK (team_id IN (SELECT m.team_id FROM public.members m WHERE m.user_id = (SELECT auth.uid())));
