import { mkdir, rm, stat } from 'node:fs/promises'

import { build } from 'esbuild'

/** Bundles the two programs, each into one file of dist/native/, beside which the native parts of later releases go. */
const programs = [
  { entryPoint: 'agent/main.ts', outfile: 'dist/native/agent.cjs' },
  { entryPoint: 'agent/request-handler/main.ts', outfile: 'dist/native/request-handler.cjs' },
]
await rm('dist', { recursive: true, force: true })
await mkdir('dist/native', { recursive: true })
for (const { entryPoint, outfile } of programs) {
  await build({
    entryPoints: [entryPoint],
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
}
