-- The accounts are in the API.
-- expect: auth_users_exposed public.people
SET ROLE owner;
CREATE VIEW public.people AS SELECT id, email FROM auth.users;
GRANT SELECT ON public.people TO anon;
