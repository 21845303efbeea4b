# One image for all programs. By itself it is a store of one node, with the public port 80, or with GOSSIP_INSTANCE a further node;
# a program alone is the command: node /app/<program>/dist/main.js.
FROM node:24-bookworm-slim AS build
# The SQLite driver is compiled where no ready-made binary fits.
RUN command -v python3 >/dev/null && command -v make >/dev/null && command -v g++ >/dev/null \
  || (apt-get update && apt-get install -y --no-install-recommends python3 make g++ && rm -rf /var/lib/apt/lists/*)
WORKDIR /app
COPY package.json package-lock.json ./
COPY shared/package.json shared/
COPY storage-node/package.json storage-node/
COPY replicator/package.json replicator/
COPY master/package.json master/
COPY client/package.json client/
COPY client/bin client/bin
# A ready-made binary may be made for a newer C library than this image has: then loading it fails, and only compiling helps.
RUN npm ci --no-audit --no-fund \
  && (node -e "require('sqlite3')" || npm_config_build_from_source=true npm rebuild sqlite3) \
  && node -e "require('sqlite3')"
COPY tsconfig.base.json ./
COPY shared shared
COPY storage-node storage-node
COPY replicator replicator
COPY master master
COPY client client
RUN npx tsc -b shared storage-node replicator master client
# What is left is what runs: no compiler, no sources, no intermediate files of the driver.
RUN npm prune --omit=dev --no-audit --no-fund \
  && rm -rf */src */tsconfig.json tsconfig.base.json package-lock.json shared/dist/testing node_modules/sqlite3/deps \
  && find . -name '.tsbuildinfo' -delete \
  && find node_modules/sqlite3/build -type f ! -path '*/Release/node_sqlite3.node' -delete \
  && find node_modules -maxdepth 1 -type d -empty -delete \
  && node -e "require('sqlite3')"

FROM node:24-bookworm-slim
ENV NODE_ENV=production UV_THREADPOOL_SIZE=16
COPY --from=build /app /app
# A new volume takes over the owner of the directory that it covers.
RUN ln -s /app/client/bin/dfs.js /usr/local/bin/dfs \
  && install -d -o node -g node /data /secrets
USER node
WORKDIR /data
EXPOSE 80 7040 7041 7050
CMD ["dfs", "instance", "--data", "/data"]
