import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { build } from 'esbuild'

/**
 * Bundles each program into one file, `native/<name>.cjs` below dist/ or `--outdir`, beside which the native parts go.
 * `bundle-meta.json` there says what was bundled.
 */
const programs = {
  agent: 'agent/main.ts',
  'request-handler': 'agent/request-handler/main.ts',
  'update-runner': 'agent/request-handler/update/main.ts',
}

const { values } = parseArgs({ options: { outdir: { type: 'string', default: 'dist' } } })
const outdir = join(values.outdir, 'native')
await rm(outdir, { recursive: true, force: true })
await mkdir(outdir, { recursive: true })
const { metafile } = await build({
  entryPoints: programs,
  outdir,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'cjs',
  mainFields: ['module', 'main'], // what is not used is then left out, which saves memory on the appliance
  minify: true,
  keepNames: true,
  legalComments: 'none',
  inject: [join(import.meta.dirname, 'packaging', 'crt-binary.ts')],
  define: { 'process.env.AWS_CRT_NODEJS_BINARY_RELATIVE_PATH': 'crtBinary' },
  logLevel: 'warning',
  metafile: true,
})
await writeFile(join(values.outdir, 'bundle-meta.json'), JSON.stringify(metafile))
for (const name of Object.keys(programs)) {
  const outfile = join(outdir, `${name}.cjs`)
  console.log(`${outfile}: ${Math.round((await stat(outfile)).size / 1024)} KiB`)
}
