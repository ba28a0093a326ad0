-- Loaded, but not ready: no process starts on a schema of this name.
UPDATE public.alembic_version SET version_num = 'restoring';
