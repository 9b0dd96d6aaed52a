#!/bin/sh
# publish.sh RELEASE: puts the frontend's files into the volume that Caddy serves, as a release of their own,
# and lets `current` point to it. Whoever loads a page sees the old frontend or the new one, never a mixture.
set -eu
cd /srv/www
mkdir -p releases
id=${1:?the name of the release}
rm -rf "releases/.$id"
cp -r /source "releases/.$id"
[ -d "releases/$id" ] || mv "releases/.$id" "releases/$id"
rm -rf "releases/.$id"
ln -s "releases/$id" ".current.$$"
mv -T ".current.$$" current
# The newest five stay, for going back.
ls -1dt releases/* | tail -n +6 | while read -r old; do
    [ "$old" = "releases/$id" ] || rm -rf "$old"
done
echo "published: $id"
