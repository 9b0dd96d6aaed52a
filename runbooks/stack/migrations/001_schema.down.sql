-- ccrun: irreversible: the tables go with everything in them
DROP TABLE public.events;
DROP TABLE public.tasks;
DROP TABLE public.domains;
