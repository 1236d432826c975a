import eslint from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

const moduleState = [
  { selector: "Program > VariableDeclaration[kind='let']", message: 'No module-level state: pass it in.' },
  {
    selector: "Program > ExportNamedDeclaration > VariableDeclaration[kind='let']",
    message: 'No module-level state: pass it in.',
  },
]
const processGlobals = {
  selector: "MemberExpression[object.name='process'][property.name=/^(env|argv|on|once|exit)$/]",
  message: 'Only the main.ts of a program reads the environment, the arguments and signals, or ends the process.',
}

export default defineConfig(
  globalIgnores(['dist', 'node_modules', '.dependency-cruiser.cjs']),
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'no-restricted-syntax': ['error', ...moduleState],
      '@typescript-eslint/no-unused-vars': ['error', { ignoreUsingDeclarations: true }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['agent/**'],
    rules: {
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      'max-lines': ['error', { max: 300, skipBlankLines: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 3],
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...moduleState, processGlobals],
    },
  },
  {
    files: ['agent/main.ts', 'agent/request-handler/update/main.ts'],
    rules: { 'no-restricted-syntax': ['error', ...moduleState] },
  },
  {
    // What AWS Lambda runs as it is.
    files: ['config/cloud/**/*.mjs'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {
      parserOptions: { projectService: false, project: false, program: null },
      globals: { console: 'readonly', AbortSignal: 'readonly' },
    },
    rules: {
      ...tseslint.configs.disableTypeChecked.rules,
      '@typescript-eslint/explicit-module-boundary-types': 'off',
    },
  },
  { files: ['agent/aws/**'], rules: { '@typescript-eslint/consistent-type-assertions': 'off' } },
)
