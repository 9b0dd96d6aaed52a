-- ccrun: reversible
DROP FUNCTION public.get_user_profile();
