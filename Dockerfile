# One image for all programs; what it runs is the command: node <program>/dist/main.js.
FROM node:24-bookworm-slim AS build
# The SQLite driver is compiled where no ready-made binary fits.
RUN command -v g++ make python3 >/dev/null \
  || (apt-get update && apt-get install -y --no-install-recommends python3 make g++ && rm -rf /var/lib/apt/lists/*)
WORKDIR /app
COPY package.json package-lock.json ./
COPY shared/package.json shared/
COPY storage-node/package.json storage-node/
COPY replicator/package.json replicator/
COPY master/package.json master/
COPY client/package.json client/
COPY client/bin client/bin
RUN npm ci --no-audit --no-fund
COPY tsconfig.base.json ./
COPY shared shared
COPY storage-node storage-node
COPY replicator replicator
COPY master master
COPY client client
RUN npx tsc -b shared storage-node replicator master client \
  && npm prune --omit=dev --no-audit --no-fund \
  && rm -rf shared/src storage-node/src replicator/src master/src client/src

FROM node:24-bookworm-slim
ENV NODE_ENV=production UV_THREADPOOL_SIZE=16
COPY --from=build /app /app
RUN ln -s /app/client/bin/dfs.js /usr/local/bin/dfs \
  && install -d -o node -g node /data /secrets
USER node
WORKDIR /data
EXPOSE 7040 7041 7050
CMD ["dfs", "--help"]
