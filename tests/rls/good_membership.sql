-- Members are added by who founded the team.
-- probe: none
SET ROLE owner;
CREATE TABLE public.teams (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), founder uuid NOT NULL REFERENCES auth.users, name text);
CREATE INDEX ON public.teams (founder);
CREATE TABLE public.members (team_id uuid NOT NULL REFERENCES public.teams, user_id uuid NOT NULL REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
CREATE INDEX ON public.members (user_id);
CREATE TABLE public.docs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), team_id uuid NOT NULL REFERENCES public.teams, body text NOT NULL DEFAULT 'x');
CREATE INDEX ON public.docs (team_id);
ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.docs ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.teams, public.members, public.docs TO authenticated;
CREATE POLICY own ON public.teams TO authenticated USING (founder = (SELECT auth.uid())) WITH CHECK (founder = (SELECT auth.uid()));
CREATE POLICY seen ON public.members FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY seen ON public.docs TO authenticated USING (team_id IN (SELECT m.team_id FROM public.members m WHERE m.user_id = (SELECT auth.uid())))
    WITH CHECK (team_id IN (SELECT m.team_id FROM public.members m WHERE m.user_id = (SELECT auth.uid())));
CREATE POLICY joins ON public.members FOR INSERT TO authenticated WITH CHECK (team_id IN (SELECT t.id FROM public.teams t WHERE t.founder = (SELECT auth.uid())));
