//! `import` of scripts.

use super::{Shared, Thrown, thrown};
use crate::command::Cx;
use crate::error::{Error, Result};
use rhai::{Engine, EvalAltResult, Module, Position, Scope};
use std::path::{Component, Path, PathBuf};
use std::rc::{Rc, Weak};

/// `import` finds files beside the script that asks, then in the folders given with -s; never elsewhere.
pub(super) struct Imports {
    pub(super) cx: Weak<Cx>,
    pub(super) shared: Rc<Shared>,
}

impl rhai::ModuleResolver for Imports {
    fn resolve(&self, engine: &Engine, source: Option<&str>, path: &str, at: Position) -> Thrown<Rc<Module>> {
        let file = self.find(source, path).map_err(|error| thrown(error, at))?;
        let name = file.display().to_string();
        if self.shared.importing.borrow().contains(&name) {
            let error = Error::usage(format!("import \"{path}\": {name} is being imported already, so the files import each other"));
            return Err(thrown(error, at));
        }
        self.shared.importing.borrow_mut().push(name.clone());
        let module = self.load(engine, file, name, at);
        self.shared.importing.borrow_mut().pop();
        module
    }
}

impl Imports {
    fn load(&self, engine: &Engine, file: PathBuf, name: String, at: Position) -> Thrown<Rc<Module>> {
        let text = std::fs::read_to_string(&file).map_err(|error| thrown(Error::usage(format!("{name}: {error}")), at))?;
        self.shared.note_text(&name, &text);
        let mut ast = engine.compile(&text).map_err(|error| EvalAltResult::ErrorInModule(name.clone(), error.into(), at))?;
        ast.set_source(&name);
        self.shared.note_functions(&ast, &name);
        Module::eval_ast_as_new(Scope::new(), &ast, engine)
            .map(Rc::new)
            .map_err(|error| EvalAltResult::ErrorInModule(name, error, at).into())
    }

    fn find(&self, source: Option<&str>, path: &str) -> Result<PathBuf> {
        let relative = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !relative {
            return Err(Error::usage(format!("import \"{path}\": only files beside the script and in -s folders can be imported")));
        }
        let file = if path.ends_with(".rhai") { path.to_string() } else { format!("{path}.rhai") };
        let home = self.shared.home.borrow();
        let source = source.filter(|source| !source.is_empty()).unwrap_or(&home);
        let beside = Path::new(source).parent().map(Path::to_path_buf);
        let search = self.cx.upgrade().map_or(Vec::new(), |cx| cx.settings.borrow().search.clone());
        let places: Vec<PathBuf> = beside.into_iter().chain(search).map(|folder| folder.join(&file)).collect();
        places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
            let looked = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
            Error::usage(format!("import \"{path}\": not found; looked at: {looked}")).hint("-s FOLDER adds a folder to look in")
        })
    }
}
