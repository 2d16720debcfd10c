// Logs every field of the SDK's structures, one line each: path, offset in the structure, value. A crate includes this
// file and lists the structures of its SDK's version; a field that is not listed does not compile.

pub trait Show {
    fn show(&self, path: core::fmt::Arguments, at: usize);
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Show for $number {
            fn show(&self, path: core::fmt::Arguments, at: usize) {
                log_info!("{} {} {}", path, at, self);
            }
        })*
    };
}

numbers! { u8 u16 u32 u64 i8 i16 i64 }

impl<T: Show, const N: usize> Show for [T; N] {
    fn show(&self, path: core::fmt::Arguments, at: usize) {
        for (number, each) in self.iter().enumerate() {
            each.show(format_args!("{}[{}]", path, number), at + number * core::mem::size_of::<T>());
        }
    }
}

macro_rules! structures {
    ($($name:path { $($field:ident)* })*) => {
        $(impl Show for $name {
            fn show(&self, path: core::fmt::Arguments, at: usize) {
                let Self { $($field),* } = self;
                $($field.show(format_args!("{}.{}", path, stringify!($field)), at + core::mem::offset_of!($name, $field));)*
            }
        })*
    };
}

/// Logs the size of a structure and every field of it.
pub fn show<T: Show>(name: &str, structure: &T) {
    log_info!("{} size {}", name, core::mem::size_of::<T>());
    structure.show(format_args!("{}", name), 0);
}
