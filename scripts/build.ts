import { mkdir, rm, stat } from 'node:fs/promises'

import { build } from 'esbuild'

/** Bundles the agent into one file, dist/native/agent.cjs, beside which the native parts of later releases go. */
const outfile = 'dist/native/agent.cjs'
await rm('dist', { recursive: true, force: true })
await mkdir('dist/native', { recursive: true })
await build({
  entryPoints: ['agent/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'cjs',
  mainFields: ['module', 'main'], // what is not used is then left out, which saves memory on the appliance
  minify: true,
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
})
console.log(`${outfile}: ${Math.round((await stat(outfile)).size / 1024)} KiB`)
