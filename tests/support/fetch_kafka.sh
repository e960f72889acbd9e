#!/usr/bin/env bash
# Fetch the jars of Apache Kafka into .kafka/jars with Maven; install Java and Maven first where that is allowed.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=.kafka/jars/4.2.0.stamp
java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }
usable() { command -v java >/dev/null && [ "$(java_major)" -ge 17 ] 2>/dev/null; }

missing=()
usable || missing+=(openjdk-17-jre-headless)
[ -e "$stamp" ] || command -v mvn >/dev/null || missing+=(maven)
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
    else
        echo "The tests need Java 17 or later and Maven: install ${missing[*]} (Debian) or openjdk and maven (Homebrew), then try again." >&2
        exit 1
    fi
fi
usable || { echo "java is there, but not version 17 or later: put a newer one first in PATH, then try again." >&2; exit 1; }

[ -e "$stamp" ] && exit 0
mkdir -p .kafka/jars
mvn -q -B -f tests/support/kafka_jars/pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$PWD/.kafka/jars"
touch "$stamp"
