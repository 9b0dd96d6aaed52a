#!/bin/sh
# publish.sh RELEASE: puts the frontend's files into the volume that Caddy serves, as a release of their own,
# and lets `current` point to it. Whoever loads a page sees the old frontend or the new one, never a mixture.
# A release that is there already is only shown: that is how one goes back.
set -eu
cd /srv/www
mkdir -p releases
id=${1:?the name of the release}
if [ ! -d "releases/$id" ]; then
    rm -rf "releases/.$id"
    cp -r /source "releases/.$id"
    mv "releases/.$id" "releases/$id"
fi
ln -s "releases/$id" ".current.$$"
mv -T ".current.$$" current
# The newest five stay, for going back, and whatever is shown.
ls -1dt releases/* | tail -n +6 | while read -r old; do
    [ "$old" = "releases/$id" ] || rm -rf "$old"
done
echo "published: $id"
